package mesh

import (
	"crypto/hkdf"
	"crypto/sha256"
	"strconv"
	"time"

	"github.com/skein-mesh/skein"
)

// Secret is what all nodes of a mesh share: at least 32 random bytes. Keys are derived from it by HKDF with
// SHA-256 (RFC 5869), one label each.
type Secret []byte

const (
	minSecret   = 32
	ticketEpoch = 12 * time.Hour
)

// Validate reports a secret that is too short.
func (s Secret) Validate() error {
	if len(s) < minSecret {
		return skein.Fault(skein.CodeMalformed, "the mesh secret has %d bytes, want at least %d", len(s), minSecret)
	}
	return nil
}

// gossipKey is memberlist's AES-256 key.
func (s Secret) gossipKey() []byte {
	key := s.derive("skein gossip 1")
	return key[:]
}

// tokenKey protects QUIC address validation tokens; shared, so that a token works at another node.
func (s Secret) tokenKey() [32]byte { return s.derive("skein quic token 1") }

// SnapshotKey seals the snapshots of a region's group.
func (s Secret) SnapshotKey() [32]byte { return s.derive("skein snapshot 1") }

// BackupKey is what the keys of backups are derived from.
func (s Secret) BackupKey() [32]byte { return s.derive("skein backup 1") }

// ticketKeys protect TLS session tickets: those of the current epoch first (it encrypts), then the previous one
// and the next one, so that nodes whose clocks differ read each other's tickets.
func (s Secret) ticketKeys(now time.Time) [][32]byte {
	epoch := now.Unix() / int64(ticketEpoch/time.Second)
	keys := make([][32]byte, 0, 3)
	for _, e := range []int64{epoch, epoch - 1, epoch + 1} {
		keys = append(keys, s.derive("skein tls ticket 1 "+strconv.FormatInt(e, 10)))
	}
	return keys
}

func (s Secret) derive(label string) [32]byte {
	out, err := hkdf.Key(sha256.New, s, nil, label, 32)
	if err != nil {
		panic("mesh: HKDF of 32 bytes: " + err.Error())
	}
	return [32]byte(out)
}
