// Package backup is how a region's sessions are kept outside of it: the form of a backup, its keys, and how one is
// written, found, verified and thinned out. It opens no socket; where objects lie is a Store.
//
// It promises: a backup is listed only once it is complete (its manifest is written last); every byte is sealed
// with AES-256-GCM under a key of the mesh, and its SHA-256 and HMAC stand in the manifest, which has an HMAC itself;
// what another mesh or a newer build wrote is refused by name; nothing is removed but whole backups of the same mesh
// and region, and what unfinished ones left.
//
// A backup holds one part for each group of the region. A part is the group's state at one index, so each group is
// consistent in itself; parts are taken one after the other. It does not hold the log, the membership, keys or
// configuration. Without the secret of the mesh a backup is of no use to anybody: keep the secret elsewhere.
package backup
