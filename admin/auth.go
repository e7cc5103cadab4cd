package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/skein-mesh/skein"
)

// tokenHash is compared instead of the token, so that neither content nor length shows in the time it takes.
type tokenHash struct {
	set bool
	sum [sha256.Size]byte
}

func hashToken(token string) tokenHash {
	token = strings.TrimSpace(token)
	return tokenHash{set: token != "", sum: sha256.Sum256([]byte(token))}
}

// allow reports whether r carries the token (RFC 6750, section 2.1); other ways to send it are not accepted,
// so that it appears in no log of addresses.
func (t tokenHash) allow(r *http.Request) *skein.Error {
	if !t.set {
		return skein.Fault(skein.CodeUnauthenticated, "this node has no admin token, so it answers /healthz, /readyz and /livez only")
	}
	scheme, given, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return skein.Fault(skein.CodeUnauthenticated, "send the node's admin token: Authorization: Bearer TOKEN")
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(given)))
	if subtle.ConstantTimeCompare(sum[:], t.sum[:]) != 1 {
		return skein.Fault(skein.CodeUnauthenticated, "this is not the node's admin token")
	}
	return nil
}
