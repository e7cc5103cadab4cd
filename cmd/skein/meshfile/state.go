package meshfile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Env names the mesh file where no flag does.
const Env = "SKEIN_MESH"

// maxRecords bounds how many records of dev meshes are looked at.
const maxRecords = 1000

// Record is what the state directory holds about one dev mesh.
type Record struct {
	Mesh    string    `json:"mesh"` // its mesh.json
	Lock    string    `json:"lock"` // held while its supervisor lives
	Started time.Time `json:"started"`
}

// StateDir gives $XDG_STATE_HOME/skein, or ~/.local/state/skein (XDG Base Directory Specification 0.8). It
// may not exist yet.
func StateDir() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "skein"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("state directory: %w; set XDG_STATE_HOME", err)
	}
	return filepath.Join(home, ".local", "state", "skein"), nil
}

// Save records a dev mesh in the state directory dir.
func (r Record) Save(dir string) error {
	path := r.path(dir)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("record %s: %w", r.Mesh, err)
	}
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("record %s: %w", r.Mesh, err)
	}
	return Replace(path, append(data, '\n'), 0o600)
}

// Remove forgets the mesh.
func (r Record) Remove(dir string) error {
	if err := os.Remove(r.path(dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget %s: %w", r.Mesh, err)
	}
	return nil
}

func (r Record) path(dir string) string {
	sum := sha256.Sum256([]byte(r.Mesh))
	return filepath.Join(dir, "meshes", hex.EncodeToString(sum[:8])+".json")
}

// Living lists the dev meshes whose supervisors live, the newest first, and removes the records of others.
func Living(dir string) ([]Record, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "meshes"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	var living []Record
	for _, e := range entries[:min(len(entries), maxRecords)] {
		path := filepath.Join(dir, "meshes", e.Name())
		data, err := os.ReadFile(path)
		if err != nil || filepath.Ext(path) != ".json" || e.Name()[0] == '.' {
			continue
		}
		var r Record
		if json.Unmarshal(data, &r) == nil {
			if _, held := Held(r.Lock); held {
				living = insertNewest(living, r)
				continue
			}
		}
		os.Remove(path)
	}
	return living, nil
}

func insertNewest(list []Record, r Record) []Record {
	at := 0
	for at < len(list) && list[at].Started.After(r.Started) {
		at++
	}
	list = append(list, Record{})
	copy(list[at+1:], list[at:])
	list[at] = r
	return list
}

// Locate gives the path of the mesh file to use: flag, else $SKEIN_MESH, else the newest living dev mesh.
func Locate(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if path := os.Getenv(Env); path != "" {
		return path, nil
	}
	dir, err := StateDir()
	if err != nil {
		return "", err
	}
	living, err := Living(dir)
	if err != nil {
		return "", err
	}
	if len(living) == 0 {
		return "", fmt.Errorf("no mesh: start one with `skein dev`, or name one with --mesh FILE or $%s", Env)
	}
	return living[0].Mesh, nil
}
