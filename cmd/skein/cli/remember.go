package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

// memory is what the CLI remembers about one session of one mesh: the full id that a short name stands for, and
// the client instance, so that a session does not see a new client at each call (it remembers each for ever).
type memory struct {
	Session skein.SessionID `json:"session"`
	Client  skein.ClientID  `json:"client"`

	path string
	lock *meshfile.Lock // nil: another process uses the instance, so this one has its own
}

// remember finds what is known of the session name in the mesh whose CA certificate is ca: a mesh that is made
// anew at the same place is another one.
func remember(state string, ca []byte, name string) (*memory, error) {
	mesh, session := sha256.Sum256(ca), sha256.Sum256([]byte(name))
	dir := filepath.Join(state, "sessions", hex.EncodeToString(mesh[:8]))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("remember sessions: %w; set XDG_STATE_HOME", err)
	}
	m := &memory{path: filepath.Join(dir, hex.EncodeToString(session[:8])+".json")}
	data, err := os.ReadFile(m.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("remember sessions: %w", err)
	default:
		if json.Unmarshal(data, m) != nil || m.Session.Validate() != nil && m.Session != "" || !skein.ValidName(string(m.Client)) {
			m.Session, m.Client = "", "" // a damaged memory is no memory
		}
	}
	m.lock, err = meshfile.Acquire(m.path + ".lock")
	if _, held := errors.AsType[*meshfile.HeldError](err); err != nil && !held {
		return nil, fmt.Errorf("remember sessions: %w", err)
	}
	if m.Client == "" || m.lock == nil {
		m.Client = skein.ClientID(skein.RandomName())
	}
	return m, nil
}

// opened stores the full id.
func (m *memory) opened(id skein.SessionID) error {
	m.Session = id
	if m.lock == nil {
		return nil
	}
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("remember session %s: %w", id, err)
	}
	return meshfile.Replace(m.path, append(data, '\n'), 0o600)
}

func (m *memory) close() {
	if m.lock != nil {
		m.lock.Release()
	}
}
