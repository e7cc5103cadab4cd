// Package dev is the supervisor of `skein dev`: a whole mesh on one machine, every node a child process.
//
// It promises: no child outlives it (the kernel kills them with it where it can, and each child also ends when
// a pipe that only the supervisor holds is closed; under `go run` the supervisor ends when that is killed); a
// node that was killed stays dead until it is restarted; mesh.json names the nodes that live, at any time; a
// second supervisor on the same directory is refused; the same directory starts the same mesh with its keys
// and its data.
//
// It does not promise to keep anything without a directory of the user's choice, nor to be safe for use beyond
// this machine: whoever may read the directory owns the mesh.
//
// It stores, under one directory of mode 0700: the CA, tokens and secrets; dev.json, the plan of the mesh;
// mesh.json; and for each node its identity, configuration, data and log.
package dev
