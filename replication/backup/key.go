package backup

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
)

// Refusals; the text around them says what was found and what to do.
var (
	ErrForeign = errors.New("it belongs to another mesh")
	ErrNewer   = errors.New("it was written by a newer build")
	ErrCorrupt = errors.New("it is damaged or was changed")
)

// Key seals and authenticates what a mesh keeps outside. It is made by NewKey.
type Key struct {
	mesh, id   string
	seal, auth []byte
}

// NewKey derives the keys of the mesh named name from 32 secret bytes or more, by HKDF with SHA-256 (RFC 5869).
func NewKey(name string, secret []byte) (Key, error) {
	if len(secret) < 32 {
		return Key{}, errors.New("backup key: fewer than 32 secret bytes")
	}
	k := Key{mesh: name}
	var id []byte
	for label, to := range map[string]*[]byte{"skein backup seal 1": &k.seal, "skein backup hmac 1": &k.auth, "skein backup mesh 1": &id} {
		var err error
		if *to, err = hkdf.Key(sha256.New, secret, nil, label, 32); err != nil {
			return Key{}, err
		}
	}
	k.id = hex.EncodeToString(id[:8])
	return k, nil
}

// ID tells meshes apart without telling their secret: 16 hexadecimal digits.
func (k Key) ID() string { return k.id }

// MAC gives the HMAC-SHA-256 (RFC 2104) of data under the mesh's key, for the use that label names.
func (k Key) MAC(label string, data []byte) string {
	h := hmac.New(sha256.New, k.auth)
	h.Write([]byte(label))
	h.Write([]byte{0})
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}

// Verify reports whether mac is the one of data.
func (k Key) Verify(label, mac string, data []byte) bool {
	return hmac.Equal([]byte(mac), []byte(k.MAC(label, data)))
}
