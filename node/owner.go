package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/replication/backup"
)

// ownerFile in Config.Dir says whose replicas are there: the mesh, by its secret, the region and the node.
const ownerFile = "owner"

// checkOwner refuses a directory with replicas of another mesh, region or node before anything in it is changed: they would
// be taken for this one's, and with them votes that this node has not given. A directory without the file is this node's from now on.
func (n *Node) checkOwner() error {
	secret := n.secrets.secret.BackupKey()
	key, err := backup.NewKey(n.cfg.Service, secret[:])
	if err != nil {
		return err
	}
	want := fmt.Sprintf("mesh %s region %s node %s\n", key.ID(), n.cfg.Region, n.cfg.Node)
	path := filepath.Join(n.cfg.Dir, ownerFile)
	got, err := os.ReadFile(path)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("data directory: %w", err)
	case string(got) == want:
		return nil
	case err == nil && refuseReplica(replicaDir(n.cfg)) != nil:
		return skein.Fault(skein.CodeRefused, "data directory %s is of %.200q, and this node is of %q: set another dir, or move %s elsewhere for an empty start. "+
			"Where the mesh secret or a name was changed on purpose, remove %s. Nothing was changed",
			n.cfg.Dir, strings.TrimSpace(string(got)), strings.TrimSpace(want), replicaDir(n.cfg), path)
	}
	return writeFile(path, []byte(want))
}
