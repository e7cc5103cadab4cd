package node

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/mesh"
	"github.com/skein-mesh/skein/replication"
)

// secrets is what the node has read from files.
type secrets struct {
	identity *mesh.Identity
	service  []tls.Certificate
	secret   mesh.Secret
	tokens   ed25519.PublicKey
	admin    string
	resetKey [32]byte
	lock     *os.File
}

func (s *secrets) close() {
	if s != nil && s.lock != nil {
		s.lock.Close()
	}
}

// fill checks what every room needs and sets defaults.
func (c *Config) fill() error {
	for what, name := range map[string]string{"node": string(c.Node), "region": string(c.Region), "zone": string(c.Zone)} {
		if !skein.ValidName(name) {
			return fmt.Errorf("%s %q: want 1 to %d letters, digits, '.', '_' or '-'", what, name, skein.MaxName)
		}
	}
	if c.Dir == "" || c.Service == "" {
		return errors.New("a node needs a data directory (dir) and a service name (service)")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Network == nil {
		c.Network = mesh.Host{}
	}
	if !c.Advertise.IsValid() {
		c.Advertise = c.Listen.Client.Addr()
	}
	if c.Advertise.IsUnspecified() {
		return errors.New("listen.client has no address that others could dial: set advertise")
	}
	if c.Drain == 0 {
		c.Drain = 10 * time.Second
	}
	return nil
}

func (n *Node) openFiles() error {
	s := &secrets{}
	n.secrets = s
	if err := replication.MakeDir(n.cfg.Dir); err != nil {
		return fmt.Errorf("data directory: %w; make it writable for this user or set another dir", err)
	}
	if err := s.lockDir(n.cfg.Dir); err != nil {
		return err
	}
	if err := s.readIdentity(n.cfg.Files); err != nil {
		return err
	}
	if err := s.readKeys(n.cfg.Files); err != nil {
		return err
	}
	if got := s.identity.Node(); got != n.cfg.Node {
		return fmt.Errorf("%s is the certificate of node %s, not of %s: issue one with skein ca node", n.cfg.Files.Cert, got, n.cfg.Node)
	}
	if err := n.checkOwner(); err != nil {
		return err
	}
	if err := s.persistKey(filepath.Join(n.cfg.Dir, "reset.key")); err != nil {
		return err
	}
	inc, err := nextIncarnation(filepath.Join(n.cfg.Dir, "incarnation"))
	if err != nil {
		return err
	}
	n.self = skein.Runner{Node: n.cfg.Node, Incarnation: inc}
	return nil
}

// lockDir keeps a second process off the directory; the kernel frees it when this one ends.
func (s *secrets) lockDir(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("data directory: %w; make it writable for this user or set another dir", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return fmt.Errorf("data directory %s is in use by another skein process: stop it or set another dir", dir)
	}
	s.lock = f
	return nil
}

func (s *secrets) readIdentity(f Files) error {
	var pems [3][]byte
	for i, path := range []string{f.CA, f.Cert, f.Key} {
		data, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("mesh identity: %w; issue it with skein ca node", err)
		}
		pems[i] = data
	}
	id, err := mesh.LoadIdentity(pems[0], pems[1], pems[2])
	if err != nil {
		return fmt.Errorf("mesh identity %s: %w", f.Cert, err)
	}
	s.identity = id
	cert, key := f.ServiceCert, f.ServiceKey
	if cert == "" {
		cert, key = f.Cert, f.Key
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("service certificate: %w; issue it with skein ca service", err)
	}
	s.service = []tls.Certificate{pair}
	return nil
}

func (s *secrets) readKeys(f Files) error {
	secret, err := os.ReadFile(f.Secret)
	if err != nil {
		return fmt.Errorf("mesh secret: %w", err)
	}
	s.secret = mesh.Secret(bytes.TrimSpace(secret))
	if err := s.secret.Validate(); err != nil {
		return fmt.Errorf("mesh secret %s: %w", f.Secret, err)
	}
	if s.tokens, err = readPublicKey(f.TokenKey); err != nil {
		return err
	}
	if f.AdminToken == "" {
		return nil
	}
	token, err := os.ReadFile(f.AdminToken)
	if err != nil {
		return fmt.Errorf("admin token: %w", err)
	}
	s.admin = strings.TrimSpace(string(token))
	if s.admin == "" {
		return fmt.Errorf("admin token %s is empty", f.AdminToken)
	}
	return nil
}

func readPublicKey(path string) (ed25519.PublicKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("token key: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, fmt.Errorf("token key %s: want a PEM block PUBLIC KEY", path)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("token key %s: %w", path, err)
	}
	pub, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("token key %s: want Ed25519, this is %T", path, key)
	}
	return pub, nil
}

// persistKey keeps the key of QUIC's stateless resets, so that peers learn of a restart at once.
func (s *secrets) persistKey(path string) error {
	data, err := os.ReadFile(path)
	if err == nil && len(data) == len(s.resetKey) {
		copy(s.resetKey[:], data)
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reset key: %w", err)
	}
	rand.Read(s.resetKey[:])
	return writeFile(path, s.resetKey[:])
}

// nextIncarnation gives a number above all earlier ones of this directory. A lost file costs nothing, since the clock
// is far ahead of any count of restarts.
func nextIncarnation(path string) (skein.Incarnation, error) {
	next := uint64(time.Now().UnixMilli())
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("incarnation: %w", err)
	}
	if last, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64); err == nil && last >= next {
		next = last + 1
	}
	return skein.Incarnation(next), writeFile(path, []byte(strconv.FormatUint(next, 10)+"\n"))
}

func writeFile(path string, data []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", tmp, err)
	}
	return os.Rename(tmp, path)
}
