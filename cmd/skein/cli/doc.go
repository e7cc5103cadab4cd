// Package cli holds the commands of the binary skein: flags in, exit codes and lines out.
//
// It promises: output that is meant for programs (--json) goes to standard output alone and keeps its shape; an
// error is one line on standard error; the exit code is 0 for success, 1 for a failure, 2 for a wrong command line.
//
// It stores, in the user's state directory, the full ids of the sessions that `skein chat` has opened.
package cli
