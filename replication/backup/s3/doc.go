// Package s3 keeps backups in S3-compatible object storage, through minio-go.
//
// It promises: an object is there whole or not at all (S3 shows an upload once it is complete); what a server says of
// a wrong key, a missing bucket or a full store becomes an error that says what to mend; a failing request is repeated
// five times with growing pauses, and a connection on which nothing moves for a minute is given up. Memory is bounded by one
// part of an upload. It does not make buckets, set lifecycle rules or encrypt: the backups are sealed already.
package s3
