package backup

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
)

// A sealed stream is a magic whose last byte is the version, a salt, and chunks of 64 KiB of plaintext, each sealed
// with AES-256-GCM under a key that HKDF makes of the mesh's key and the salt. The nonce is the chunk's number and, in
// its last byte, whether it is the last one: chunks cannot be exchanged, left out or cut off. This is the STREAM
// construction (Hoang, Reyhanitabar, Rogaway, Vizár, CRYPTO 2015, section 7) with the nonce layout of age.
const (
	sealMagic = "SKNSEAL1"
	saltSize  = 16
	chunkSize = 64 << 10
	sealOver  = 16 // of GCM, each chunk
)

// SealedSize is how many bytes a sealed stream has for size bytes of plaintext.
func SealedSize(size int64) int64 {
	chunks := max(1, (size+chunkSize-1)/chunkSize)
	return int64(len(sealMagic)) + saltSize + size + chunks*sealOver
}

func (k Key) cipher(salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, k.seal, salt, "skein backup stream 1", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func nonce(chunk uint64, last bool) []byte {
	n := make([]byte, 12)
	binary.BigEndian.PutUint64(n[3:], chunk)
	if last {
		n[11] = 1
	}
	return n
}

// Seal gives the sealed form of what r holds, as it is read.
func (k Key) Seal(r io.Reader) (io.Reader, error) {
	salt := make([]byte, saltSize)
	rand.Read(salt)
	return k.sealWith(salt, r)
}

// SealSame gives the sealed form of plain that is the same each time: its salt is an HMAC of plain. It tells who sees two of
// them whether their contents are equal, and nothing else.
func (k Key) SealSame(plain []byte) ([]byte, error) {
	salt, err := hex.DecodeString(k.MAC("seal salt", plain))
	if err != nil {
		return nil, err
	}
	r, err := k.sealWith(salt[:saltSize], bytes.NewReader(plain))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func (k Key) sealWith(salt []byte, r io.Reader) (io.Reader, error) {
	aead, err := k.cipher(salt)
	if err != nil {
		return nil, err
	}
	return &sealer{in: bufio.NewReaderSize(r, chunkSize), aead: aead, out: append([]byte(sealMagic), salt...)}, nil
}

type sealer struct {
	in    *bufio.Reader
	aead  cipher.AEAD
	out   []byte // sealed, not yet given
	plain [chunkSize]byte
	buf   [chunkSize + sealOver]byte
	chunk uint64
	done  bool
}

// Read gives sealed bytes.
func (s *sealer) Read(p []byte) (int, error) {
	if len(s.out) == 0 {
		if s.done {
			return 0, io.EOF
		}
		n, err := io.ReadFull(s.in, s.plain[:])
		if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
			return 0, err
		}
		if err == nil {
			_, err = s.in.Peek(1)
			if err != nil && err != io.EOF {
				return 0, err
			}
		}
		s.done = err != nil
		s.out = s.aead.Seal(s.buf[:0], nonce(s.chunk, s.done), s.plain[:n], nil)
		s.chunk++
	}
	n := copy(p, s.out)
	s.out = s.out[n:]
	return n, nil
}

// Open gives the plaintext of a sealed stream. An error, also one at the very end, means that none of it may be used.
func (k Key) Open(r io.Reader) (io.Reader, error) {
	head := make([]byte, len(sealMagic)+saltSize)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, fmt.Errorf("%w: it ends within its header", ErrCorrupt)
	}
	const name = len(sealMagic) - 1
	switch {
	case string(head[:name]) != sealMagic[:name]:
		return nil, fmt.Errorf("%w: it is no sealed stream", ErrCorrupt)
	case head[name] != sealMagic[name]:
		return nil, fmt.Errorf("%w: its seal has version %q, this build knows %q: use the build that wrote it", ErrNewer, head[name], sealMagic[name])
	}
	aead, err := k.cipher(head[len(sealMagic):])
	if err != nil {
		return nil, err
	}
	return &opener{in: bufio.NewReaderSize(r, chunkSize+sealOver), aead: aead}, nil
}

type opener struct {
	in    *bufio.Reader
	aead  cipher.AEAD
	buf   [chunkSize + sealOver]byte
	out   []byte // opened, not yet given
	chunk uint64
	done  bool
}

// Read gives opened bytes.
func (o *opener) Read(p []byte) (int, error) {
	for len(o.out) == 0 {
		if o.done {
			return 0, io.EOF
		}
		if err := o.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, o.out)
	o.out = o.out[n:]
	return n, nil
}

func (o *opener) next() error {
	n, err := io.ReadFull(o.in, o.buf[:])
	if err == nil {
		_, err = o.in.Peek(1)
	}
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return err
	}
	o.done = err != nil
	o.out, err = o.aead.Open(o.buf[:0], nonce(o.chunk, o.done), o.buf[:n], nil)
	if err != nil {
		return fmt.Errorf("%w: chunk %d does not open: bytes were changed or cut off, or it is not this mesh's", ErrCorrupt, o.chunk)
	}
	o.chunk++
	return nil
}
