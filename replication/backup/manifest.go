package backup

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/skein-mesh/skein"
)

const (
	formatVersion = 1
	maxManifest   = 1 << 20 // bytes
	maxGroups     = 8
	manifestLabel = "manifest"
)

// Manifest is what a backup says about itself. It is stored as one line of JSON and a line with its HMAC.
type Manifest struct {
	Format int          `json:"format"`  // version of this form
	Mesh   string       `json:"mesh"`    // its service name
	MeshID string       `json:"mesh_id"` // of its secret, see Key.ID
	Region skein.Region `json:"region"`
	Name   string       `json:"name"`  // of the backup, within the region; names rise with time
	Epoch  uint64       `json:"epoch"` // of the region's cluster
	At     time.Time    `json:"at"`    // when it began
	Took   int64        `json:"took_ms"`
	Node   skein.NodeID `json:"node"`   // that wrote it
	Build  string       `json:"build"`  // of that node
	Groups int          `json:"groups"` // of the region
	Parts  []Part       `json:"parts"`  // one a group, in their order
}

// Part is the state of one group at one index of its log.
type Part struct {
	Group    uint32       `json:"group"`
	From     skein.NodeID `json:"from"` // whose replica was copied
	Index    uint64       `json:"index"`
	Term     uint64       `json:"term"`
	Epoch    uint64       `json:"epoch"` // of the group's cluster
	Sessions uint64       `json:"sessions"`
	Hash     string       `json:"hash"` // rolling hash of the events up to Index, hexadecimal

	Size   int64  `json:"size"`   // bytes of the state
	Stored int64  `json:"stored"` // bytes of the object, sealed
	SHA256 string `json:"sha256"` // of the object, hexadecimal
	HMAC   string `json:"hmac"`   // of the object under the mesh's key, hexadecimal
}

// Encode gives the stored form.
func (m *Manifest) Encode(key Key) ([]byte, error) {
	line, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return append(append(line, '\n'), key.MAC(manifestLabel, line)+"\n"...), nil
}

// DecodeManifest reads a stored manifest of any mesh and checks that it is key's, whole, and of a known version.
func DecodeManifest(data []byte, key Key) (*Manifest, error) {
	line, mac, ok := bytes.Cut(data, []byte{'\n'})
	var head struct {
		Format int    `json:"format"`
		Mesh   string `json:"mesh"`
		MeshID string `json:"mesh_id"`
	}
	if !ok || len(data) > maxManifest || json.Unmarshal(line, &head) != nil || head.Format < 1 {
		return nil, fmt.Errorf("manifest: %w: it is no manifest", ErrCorrupt)
	}
	switch {
	case head.Format > formatVersion:
		return nil, fmt.Errorf("manifest: %w: its form has version %d, this build reads up to %d: use the build that wrote it, or a later one",
			ErrNewer, head.Format, formatVersion)
	case head.MeshID != key.id:
		return nil, fmt.Errorf("manifest: %w: it is of the mesh %.80q (secret %.16q), the secret given here is that of %q (secret %q); "+
			"use the configuration, and the secret, of the mesh that wrote it", ErrForeign, head.Mesh, head.MeshID, key.mesh, key.id)
	case !key.Verify(manifestLabel, string(bytes.TrimSuffix(mac, []byte{'\n'})), line):
		return nil, fmt.Errorf("manifest: %w: its HMAC does not match", ErrCorrupt)
	}
	m := &Manifest{}
	if err := json.Unmarshal(line, m); err != nil {
		return nil, fmt.Errorf("manifest: %w: %w", ErrCorrupt, err)
	}
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("manifest: %w: %w", ErrCorrupt, err)
	}
	return m, nil
}

func (m *Manifest) validate() error {
	switch {
	case !skein.ValidName(string(m.Region)):
		return fmt.Errorf("region %.80q is no name", m.Region)
	case !validBackup(m.Name):
		return fmt.Errorf("%.80q is no name of a backup", m.Name)
	case m.Groups < 1 || m.Groups > maxGroups || len(m.Parts) != m.Groups:
		return fmt.Errorf("%d groups with %d parts", m.Groups, len(m.Parts))
	}
	for i := range m.Parts {
		if err := m.Parts[i].validate(uint32(i)); err != nil {
			return fmt.Errorf("part %d: %w", i, err)
		}
	}
	return nil
}

func (p *Part) validate(group uint32) error {
	for _, sum := range []string{p.Hash, p.SHA256, p.HMAC} {
		if raw, err := hex.DecodeString(sum); err != nil || len(raw) != 32 {
			return errors.New("a checksum is not 32 bytes in hexadecimal")
		}
	}
	switch {
	case p.Group != group:
		return fmt.Errorf("it is of group %d", p.Group)
	case p.Size < 0 || p.Size > 1<<50 || p.Stored != SealedSize(p.Size):
		return fmt.Errorf("%d bytes cannot be %d sealed ones", p.Size, p.Stored)
	}
	return nil
}

// nameForm is how the name of a backup begins: the time at which it began, to the millisecond, in UTC. Behind it come a
// dash and eight random hexadecimal digits: two that begin at once must not share a name.
const nameForm = "20060102T150405.000Z"

func newName(at time.Time) string {
	return at.Format(nameForm) + fmt.Sprintf("-%08x", rand.Uint32())
}

func validBackup(name string) bool {
	begun, unique, ok := strings.Cut(name, "-")
	t, err := time.Parse(nameForm, begun)
	raw, odd := hex.DecodeString(unique)
	return ok && err == nil && odd == nil && len(raw) == 4 && t.Format(nameForm) == begun && strings.ToLower(unique) == unique
}

// Keys of a backup's objects.
func folder(region skein.Region, name string) string {
	return string(region) + "/backups/" + name + "/"
}

func manifestKey(region skein.Region, name string) string { return folder(region, name) + "manifest" }

func partKey(m *Manifest, group uint32) string {
	return fmt.Sprintf("%sgroup-%d", folder(m.Region, m.Name), group)
}
