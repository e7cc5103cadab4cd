// Package meshfile is how commands find a mesh: the file mesh.json, which names the nodes, the CA and the
// tokens, and the record of dev meshes in the user's state directory.
//
// It promises: a file is replaced as a whole or not at all, so that a reader never sees half of one; a file
// that cannot be used is refused with its name and the reason in one line; a dev mesh counts as living only
// while its supervisor holds its lock. It does not promise that the nodes answer. It stores mesh.json, lock
// files, and one small file for each dev mesh under the state directory; files of dead meshes are removed.
package meshfile
