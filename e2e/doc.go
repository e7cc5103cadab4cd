// Package e2e holds the tests with real processes: they build the binary, start `skein dev` and kill its nodes.
// They run with `go test ./e2e -args -e2e`, which is what .ci/run does.
package e2e
