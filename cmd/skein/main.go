// Command skein is the whole of Skein in one binary: `skein dev` starts a mesh on this machine, `skein agent`
// runs one node, the other commands talk to a mesh.
package main

import (
	"os"

	"github.com/skein-mesh/skein/cmd/skein/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:])) }
