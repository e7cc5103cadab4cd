package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func testKey(t testing.TB, name string) Key {
	t.Helper()
	k, err := NewKey(name, []byte(strings.Repeat(name[:1], 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// states is a source of groups with these states.
func states(texts ...string) Source {
	return func(_ context.Context, group uint32) (Part, io.ReadCloser, error) {
		text := texts[group]
		p := Part{From: "eu-b-1", Index: 7, Term: 2, Epoch: 1, Sessions: 3, Hash: strings.Repeat("0a", 32), Size: int64(len(text))}
		return p, io.NopCloser(strings.NewReader(text)), nil
	}
}

func write(t *testing.T, s Store, k Key, texts ...string) *Manifest {
	t.Helper()
	m, err := Write(t.Context(), s, k, Manifest{Region: "eu", Node: "eu-a-1", Groups: len(texts)}, states(texts...))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func openDir(t *testing.T) *Dir {
	t.Helper()
	d, err := OpenDir(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func readPart(t *testing.T, s Store, k Key, m *Manifest, group uint32) (string, error) {
	t.Helper()
	r, err := OpenPart(t.Context(), s, k, m, group)
	if err != nil {
		return "", err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	return string(data), err
}

func TestWriteAndRead(t *testing.T) {
	d, k := openDir(t), testKey(t, "ours.example")
	big := strings.Repeat("0123456789", 20_000)
	wrote := write(t, d, k, "first", big, "")
	m, err := Load(t.Context(), d, k, "eu", "")
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != wrote.Name || m.Mesh != "ours.example" || len(m.Parts) != 3 || m.Epoch != 1 || m.Parts[1].Sessions != 3 {
		t.Errorf("loaded %+v", m)
	}
	for i, want := range []string{"first", big, ""} {
		if got, err := readPart(t, d, k, m, uint32(i)); err != nil || got != want {
			t.Errorf("group %d: %d bytes, %v; want %d", i, len(got), err, len(want))
		}
	}
	raw, err := os.ReadFile(filepath.Join(d.root, filepath.FromSlash(partKey(m, 0))))
	if err != nil || bytes.Contains(raw, []byte("first")) {
		t.Errorf("the part is not sealed: %q, %v", raw, err)
	}
}

func TestSealedSizes(t *testing.T) {
	k := testKey(t, "ours.example")
	for _, n := range []int{0, 1, chunkSize - 1, chunkSize, chunkSize + 1, 3 * chunkSize, 3*chunkSize + 5} {
		plain := bytes.Repeat([]byte{7}, n)
		for name, wrap := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "halves": iotest.HalfReader} {
			s, err := k.Seal(wrap(bytes.NewReader(plain)))
			if err != nil {
				t.Fatal(err)
			}
			sealed, err := io.ReadAll(wrap(s))
			if err != nil || int64(len(sealed)) != SealedSize(int64(n)) {
				t.Errorf("%d bytes, %s: sealed are %d, %v; want %d", n, name, len(sealed), err, SealedSize(int64(n)))
			}
			o, err := k.Open(wrap(bytes.NewReader(sealed)))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(o); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%d bytes, %s: %d came back, %v", n, name, len(got), err)
			}
		}
	}
}

// Every way to change a part is noticed, at the latest at its end.
func TestChangedPart(t *testing.T) {
	d, k := openDir(t), testKey(t, "ours.example")
	m := write(t, d, k, strings.Repeat("a", 3*chunkSize), strings.Repeat("b", 3*chunkSize))
	path := func(g uint32) string { return filepath.Join(d.root, filepath.FromSlash(partKey(m, g))) }
	whole, err := os.ReadFile(path(0))
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(path(1))
	if err != nil {
		t.Fatal(err)
	}
	head, chunk := len(sealMagic)+saltSize, chunkSize+sealOver
	tests := []struct {
		name   string
		change func([]byte) []byte
		want   error
	}{
		{"a flipped bit", func(b []byte) []byte { b[len(b)/2] ^= 4; return b }, ErrCorrupt},
		{"a flipped bit of the salt", func(b []byte) []byte { b[len(sealMagic)] ^= 1; return b }, ErrCorrupt},
		{"cut in a chunk", func(b []byte) []byte { return b[:len(b)-1] }, ErrCorrupt},
		{"cut behind a chunk", func(b []byte) []byte { return b[:head+2*chunk] }, ErrCorrupt},
		{"cut in the header", func(b []byte) []byte { return b[:head-1] }, ErrCorrupt},
		{"longer", func(b []byte) []byte { return append(b, 0) }, ErrCorrupt},
		{"chunks exchanged", func(b []byte) []byte {
			return slices.Concat(b[:head], b[head+chunk:head+2*chunk], b[head:head+chunk], b[head+2*chunk:])
		}, ErrCorrupt},
		{"another group's", func([]byte) []byte { return other }, ErrCorrupt},
		{"not sealed", func(b []byte) []byte { return bytes.Repeat([]byte("x"), len(b)) }, ErrCorrupt},
		{"a newer seal", func(b []byte) []byte { b[len(sealMagic)-1]++; return b }, ErrNewer},
		{"gone", func([]byte) []byte { return nil }, ErrCorrupt},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			changed := tt.change(bytes.Clone(whole))
			if changed == nil {
				os.Remove(path(0))
			} else if err := os.WriteFile(path(0), changed, 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := readPart(t, d, k, m, 0); !errors.Is(err, tt.want) {
				t.Errorf("read %d bytes, %v; want %v", len(got), err, tt.want)
			}
		})
	}
}

func TestRefusedManifests(t *testing.T) {
	d, k := openDir(t), testKey(t, "ours.example")
	m := write(t, d, k, "state")
	good, err := m.Encode(k)
	if err != nil {
		t.Fatal(err)
	}
	edit := func(f func(map[string]any)) []byte {
		line, mac, _ := bytes.Cut(good, []byte("\n"))
		fields := map[string]any{}
		if err := json.Unmarshal(line, &fields); err != nil {
			t.Fatal(err)
		}
		f(fields)
		line, _ = json.Marshal(fields)
		return append(append(line, '\n'), mac...)
	}
	bad := func(f func(*Manifest)) []byte {
		c := *m
		c.Parts = slices.Clone(m.Parts)
		f(&c)
		data, err := c.Encode(k)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	tests := []struct {
		name string
		data []byte
		want error
		says string
	}{
		{"whole", good, nil, ""},
		{"empty", nil, ErrCorrupt, "no manifest"},
		{"not JSON", []byte("x\ny\n"), ErrCorrupt, "no manifest"},
		{"a newer form", edit(func(f map[string]any) { f["format"] = 2 }), ErrNewer, "version 2"},
		{"an edited field", edit(func(f map[string]any) { f["region"] = "us" }), ErrCorrupt, "HMAC"},
		{"without its HMAC", good[:bytes.IndexByte(good, '\n')+1], ErrCorrupt, "HMAC"},
		{"no groups", bad(func(m *Manifest) { m.Groups, m.Parts = 0, nil }), ErrCorrupt, "0 groups"},
		{"a part too few", bad(func(m *Manifest) { m.Groups = 2 }), ErrCorrupt, "2 groups with 1 parts"},
		{"a part of another group", bad(func(m *Manifest) { m.Parts[0].Group = 3 }), ErrCorrupt, "group 3"},
		{"a name that climbs", bad(func(m *Manifest) { m.Name = "../x" }), ErrCorrupt, "no name"},
		{"a size that cannot be", bad(func(m *Manifest) { m.Parts[0].Size = -1 }), ErrCorrupt, "-1 bytes"},
		{"a checksum that is none", bad(func(m *Manifest) { m.Parts[0].Hash = "zz" }), ErrCorrupt, "checksum"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := DecodeManifest(tt.data, k)
			if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %v with %q", err, tt.want, tt.says)
			}
		})
	}
	_, err = DecodeManifest(good, testKey(t, "foreign.example"))
	if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "ours.example") {
		t.Errorf("another mesh: %v", err)
	}
}

// A backup that fails is not listed, and what it stored goes.
func TestFailedWrite(t *testing.T) {
	d, k := openDir(t), testKey(t, "ours.example")
	older := write(t, d, k, "older")
	boom := errors.New("boom")
	tests := []struct {
		name string
		open Source
		want string
	}{
		{"the source", func(ctx context.Context, g uint32) (Part, io.ReadCloser, error) {
			if g == 1 {
				return Part{}, nil, boom
			}
			return states("a", "b")(ctx, g)
		}, "group 1: boom"},
		{"the stream", func(ctx context.Context, g uint32) (Part, io.ReadCloser, error) {
			p, _, err := states("a", "b")(ctx, g)
			return p, io.NopCloser(iotest.ErrReader(boom)), err
		}, "boom"},
		{"fewer bytes than said", func(ctx context.Context, g uint32) (Part, io.ReadCloser, error) {
			p, _, err := states("abc", "b")(ctx, g)
			return p, io.NopCloser(strings.NewReader("a")), err
		}, "bytes"},
		{"more bytes than said", func(ctx context.Context, g uint32) (Part, io.ReadCloser, error) {
			p, _, err := states("abc", "b")(ctx, g)
			return p, io.NopCloser(strings.NewReader("abcd")), err
		}, "bytes"},
		{"a hash that is none", func(ctx context.Context, g uint32) (Part, io.ReadCloser, error) {
			p, r, err := states("abc", "b")(ctx, g)
			p.Hash = "x"
			return p, r, err
		}, "checksum"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Write(t.Context(), d, k, Manifest{Region: "eu", Groups: 2}, tt.open)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			list, err := List(t.Context(), d, k, "eu")
			if err != nil || len(list) != 1 || list[0].Name != older.Name {
				t.Errorf("list is %v, %v; want the older one alone", list, err)
			}
			if objects, err := d.List(t.Context(), ""); err != nil || len(objects) != 2 {
				t.Errorf("objects left: %v, %v", objects, err)
			}
		})
	}
}

func TestPrune(t *testing.T) {
	d, ours, foreign := openDir(t), testKey(t, "ours.example"), testKey(t, "foreign.example")
	var names []string
	for range 3 {
		names = append(names, write(t, d, ours, "state").Name)
		time.Sleep(2 * time.Millisecond) // names are times
	}
	theirs := write(t, d, foreign, "theirs").Name
	// What an unfinished backup left yesterday goes; what one is writing now stays.
	for name, age := range map[string]time.Duration{"20200101T000000.000Z-00000001": 48 * time.Hour, "20200102T000000.000Z-00000002": time.Minute} {
		key := folder("eu", name) + "group-0"
		if err := d.Put(t.Context(), key, strings.NewReader("x"), 1); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(filepath.Join(d.root, key), at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Put(t.Context(), "eu/notes/mine", strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	removed, err := Prune(t.Context(), d, ours, "eu", 2)
	if err != nil || !slices.Equal(removed, names[:1]) {
		t.Errorf("removed %v, %v; want %v", removed, err, names[:1])
	}
	objects, err := d.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range objects {
		got = append(got, o.Key)
	}
	var want []string
	for _, name := range append(names[1:], theirs) {
		want = append(want, folder("eu", name)+"group-0", folder("eu", name)+"manifest")
	}
	want = append(want, folder("eu", "20200102T000000.000Z-00000002")+"group-0", "eu/notes/mine")
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("left:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if _, err := Prune(t.Context(), d, ours, "eu", 0); err == nil {
		t.Error("keeping none is not refused")
	}
}

func TestLoadSaysWhatThereIs(t *testing.T) {
	d, k := openDir(t), testKey(t, "ours.example")
	check := func(name, want string) {
		t.Helper()
		if _, err := Load(t.Context(), d, k, "us", name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	check("", "no backup here")
	m := write(t, d, k, "state")
	check("", "only of eu")
	check("latest", "no name")
	check(m.Name, "no complete backup")
	data, err := m.Encode(k)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Put(t.Context(), manifestKey("us", m.Name), bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	check(m.Name, "in the place of another")
}

func TestDir(t *testing.T) {
	root := t.TempDir()
	if _, err := OpenDir(filepath.Join(root, "not", "mounted")); err == nil || !strings.Contains(err.Error(), "mount") {
		t.Errorf("missing parent: %v", err)
	}
	if _, err := OpenDir("relative"); err == nil {
		t.Error("a relative path is taken")
	}
	if err := os.WriteFile(filepath.Join(root, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDir(filepath.Join(root, "file")); err == nil {
		t.Error("a file is taken for a directory")
	}
	d := openDir(t)
	for _, key := range []string{"", "a//b", "../a", "a/../b", "/a", "a/.hidden", "a b", "a/" + strings.Repeat("x", 600)} {
		if err := d.Put(t.Context(), key, strings.NewReader(""), 0); err == nil {
			t.Errorf("key %.20q is taken", key)
		}
		if _, err := d.Get(t.Context(), key); err == nil {
			t.Errorf("key %.20q is read", key)
		}
		if err := d.Delete(t.Context(), key); err == nil {
			t.Errorf("key %.20q is deleted", key)
		}
	}
	if _, err := d.Get(t.Context(), "a/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing object: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Put(ctx, "a/b", strings.NewReader("x"), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(d.root, "a", "*"))
	if hidden, _ := filepath.Glob(filepath.Join(d.root, "a", ".*")); err != nil || len(left)+len(hidden) != 0 {
		t.Errorf("left behind: %v %v", left, hidden)
	}
}

func FuzzManifest(f *testing.F) {
	k := testKey(f, "ours.example")
	m := Manifest{Format: 1, Mesh: "ours.example", MeshID: k.ID(), Region: "eu", Name: "20260102T030405.000Z-0badcafe", Groups: 1,
		Parts: []Part{{Size: 1, Stored: SealedSize(1), Hash: strings.Repeat("00", 32), SHA256: strings.Repeat("00", 32), HMAC: strings.Repeat("00", 32)}}}
	good, err := m.Encode(k)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"format":2}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		line, _, _ := bytes.Cut(data, []byte("\n"))
		signed := append(append(bytes.Clone(line), '\n'), k.MAC(manifestLabel, line)+"\n"...) // what lies behind the HMAC is fuzzed too
		for _, d := range [][]byte{data, signed} {
			m, err := DecodeManifest(d, k)
			if err == nil && (m.validate() != nil || m.MeshID != k.ID() || len(m.Parts) > maxGroups) {
				t.Errorf("taken: %+v", m)
			}
		}
	})
}

func FuzzOpen(f *testing.F) {
	k := testKey(f, "ours.example")
	s, err := k.Seal(strings.NewReader("some state"))
	if err != nil {
		f.Fatal(err)
	}
	good, err := io.ReadAll(s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(sealMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := k.Open(bytes.NewReader(data))
		if err != nil {
			return
		}
		if got, err := io.ReadAll(r); err == nil && string(got) != "some state" {
			t.Errorf("opened what was never sealed: %q", got)
		}
	})
}

func TestSealSame(t *testing.T) {
	k, err := NewKey("ours.example", bytes.Repeat([]byte("k"), 32))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, size := range []int{0, 1, chunkSize, 2*chunkSize + 7} {
		plain := bytes.Repeat([]byte("x"), size)
		a, err := k.SealSame(plain)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := k.SealSame(plain); err != nil || !bytes.Equal(a, b) || int64(len(a)) != SealedSize(int64(size)) {
			t.Errorf("%d bytes: sealed again they differ, or have %d bytes, %v", size, len(b), err)
		}
		r, err := k.Open(bytes.NewReader(a))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: opened %d, %v", size, len(got), err)
		}
		salt := string(a[len(sealMagic) : len(sealMagic)+saltSize])
		if seen[salt] {
			t.Errorf("%d bytes: the salt of other contents", size)
		}
		seen[salt] = true
	}
}
