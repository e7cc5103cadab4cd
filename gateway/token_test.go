package gateway

import (
	"crypto/ed25519"
	"crypto/rand"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/skein-mesh/skein"
)

// TestTokenThatWasSeen: it is not verified again, and expires all the same.
func TestTokenThatWasSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeys(t)
		v := newVerifier([]ed25519.PublicKey{k.public}, service)
		token, err := SignToken(k.private, Claims{Subject: "ann", Audience: service, Expires: time.Now().Add(time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if who, err := v.verify(token); err != nil || who.subject != "ann" {
				t.Fatalf("got %+v, %v, want ann", who, err)
			}
		}
		if _, err := v.verify(token + "x"); skein.CodeOf(err) != skein.CodeUnauthenticated {
			t.Errorf("another token: %v", err)
		}
		if n := v.seen.Len(); n != 1 {
			t.Errorf("remembered: %d tokens, want the one that verified", n)
		}
		time.Sleep(time.Minute + leeway + time.Second)
		if who, err := v.verify(token); skein.CodeOf(err) != skein.CodeTokenExpired || who != (identity{}) {
			t.Errorf("expired meanwhile: got %+v, %v", who, err)
		}
	})
}

func TestVerify(t *testing.T) {
	k := newKeys(t)
	v := newVerifier([]ed25519.PublicKey{newKeys(t).public, k.public}, service)
	in := func(d time.Duration) *jwt.NumericDate { return jwt.NewNumericDate(time.Now().Add(d)) }
	claims := func(change func(*jwt.RegisteredClaims)) jwt.RegisteredClaims {
		c := jwt.RegisteredClaims{Subject: "ann", Audience: jwt.ClaimStrings{service}, ExpiresAt: in(time.Hour)}
		change(&c)
		return c
	}
	signed := func(m jwt.SigningMethod, key any, c jwt.RegisteredClaims) string {
		s, err := jwt.NewWithClaims(m, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	own := func(change func(*jwt.RegisteredClaims)) string {
		return signed(jwt.SigningMethodEdDSA, k.private, claims(change))
	}
	good := k.token(t, "ann")
	parts := strings.Split(good, ".")
	for _, tt := range []struct {
		name, token string
		want        skein.Code // 0: good
	}{
		{"good", good, 0},
		{"expired within the leeway", own(func(c *jwt.RegisteredClaims) { c.ExpiresAt = in(-20 * time.Second) }), 0},
		{"expired", own(func(c *jwt.RegisteredClaims) { c.ExpiresAt = in(-40 * time.Second) }), skein.CodeTokenExpired},
		{"no expiry", own(func(c *jwt.RegisteredClaims) { c.ExpiresAt = nil }), skein.CodeUnauthenticated},
		{"not yet", own(func(c *jwt.RegisteredClaims) { c.NotBefore = in(time.Hour) }), skein.CodeUnauthenticated},
		{"no audience", own(func(c *jwt.RegisteredClaims) { c.Audience = nil }), skein.CodeUnauthenticated},
		{"another audience", own(func(c *jwt.RegisteredClaims) { c.Audience = jwt.ClaimStrings{"x"} }), skein.CodeUnauthenticated},
		{"expired for another audience", own(func(c *jwt.RegisteredClaims) { c.Audience, c.ExpiresAt = jwt.ClaimStrings{"x"}, in(-time.Hour) }), skein.CodeUnauthenticated},
		{"no subject", own(func(c *jwt.RegisteredClaims) { c.Subject = "" }), skein.CodeUnauthenticated},
		{"long subject", own(func(c *jwt.RegisteredClaims) { c.Subject = strings.Repeat("s", 256) }), skein.CodeUnauthenticated},
		{"unsigned", signed(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims(func(*jwt.RegisteredClaims) {})), skein.CodeUnauthenticated},
		{"public key as HMAC secret", signed(jwt.SigningMethodHS256, []byte(k.public), claims(func(*jwt.RegisteredClaims) {})), skein.CodeUnauthenticated},
		{"signature of another token", parts[0] + "." + parts[1] + "." + strings.Split(k.token(t, "bob"), ".")[2], skein.CodeUnauthenticated},
		{"empty", "", skein.CodeUnauthenticated},
		{"long", good + strings.Repeat("x", maxToken), skein.CodeUnauthenticated},
	} {
		who, err := v.verify(tt.token)
		switch {
		case tt.want == 0 && (err != nil || who.subject != "ann" || who.expires.IsZero()):
			t.Errorf("%s: %+v, %v; want ann", tt.name, who, err)
		case tt.want != 0 && (err == nil || skein.CodeOf(err) != tt.want):
			t.Errorf("%s: %+v, %v; want %s", tt.name, who, err, tt.want)
		}
	}
}

func TestSignToken(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	until := time.Now().Add(time.Hour)
	for _, tt := range []struct {
		name string
		key  ed25519.PrivateKey
		c    Claims
	}{
		{"short key", key[:10], Claims{Subject: "a", Audience: "b", Expires: until}},
		{"no subject", key, Claims{Audience: "b", Expires: until}},
		{"long subject", key, Claims{Subject: skein.Subject(strings.Repeat("s", 256)), Audience: "b", Expires: until}},
		{"no audience", key, Claims{Subject: "a", Expires: until}},
		{"no expiry", key, Claims{Subject: "a", Audience: "b"}},
	} {
		if s, err := SignToken(tt.key, tt.c); err == nil {
			t.Errorf("%s: got %q, want an error", tt.name, s)
		}
	}
}

func TestConfigFaultsAllAtOnce(t *testing.T) {
	_, err := New(Config{Node: "a b", Limits: Limits{Burst: -1}})
	if err == nil {
		t.Fatal("an empty configuration passed")
	}
	for _, want := range []string{"node", "region", "zone", "service", "sessions", "token keys", "limits"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: says nothing of %s", err, want)
		}
	}
}
