package node

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/mesh"
)

// Replicas of another mesh, region or node are refused, and nothing is changed; a directory without any is taken over.
func TestForeignDirectoryIsRefused(t *testing.T) {
	secret := func(b byte) mesh.Secret { return bytes.Repeat([]byte{b}, 32) }
	for _, tt := range []struct {
		name   string
		node   skein.NodeID
		region skein.Region
		secret byte
		empty  bool
		want   skein.Code // 0: taken
	}{
		{"its own", "eu-a-1", "eu", 'x', false, 0},
		{"another mesh's", "eu-a-1", "eu", 'y', false, skein.CodeRefused},
		{"another region's", "eu-a-1", "us", 'x', false, skein.CodeRefused},
		{"another node's", "eu-b-1", "eu", 'x', false, skein.CodeRefused},
		{"another mesh's, with its replica moved away", "eu-a-1", "eu", 'y', true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			first := &Node{cfg: Config{Dir: dir, Node: "eu-a-1", Region: "eu", Service: "s"}, secrets: &secrets{secret: secret('x')}}
			if err := first.checkOwner(); err != nil {
				t.Fatal(err)
			}
			if !tt.empty {
				if err := os.MkdirAll(filepath.Join(dir, "replica", "log"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			before, err := os.ReadFile(filepath.Join(dir, ownerFile))
			if err != nil {
				t.Fatal(err)
			}
			second := &Node{cfg: Config{Dir: dir, Node: tt.node, Region: tt.region, Service: "s"}, secrets: &secrets{secret: secret(tt.secret)}}
			err = second.checkOwner()
			if got := skein.CodeOf(err); err == nil && tt.want != 0 || err != nil && got != tt.want {
				t.Fatalf("got %v, want code %d", err, tt.want)
			}
			after, _ := os.ReadFile(filepath.Join(dir, ownerFile))
			if tt.want != 0 && (!bytes.Equal(before, after) || !strings.Contains(err.Error(), "set another dir")) {
				t.Errorf("%v; the file was %q and is %q", err, before, after)
			}
			if tt.want == 0 && second.checkOwner() != nil {
				t.Errorf("the second start is refused")
			}
		})
	}
}
