package powerfs

import (
	"os"
	"slices"
	"syscall"
	"testing"
)

// replica makes the tree g/a1, durable.
func replica(t *testing.T) (d *Disk, a *file) {
	t.Helper()
	d = NewDisk()
	g := d.create(d.root, "g", true, 0o700)
	a = d.create(g, "a1", true, 0o700)
	d.sync(g)
	return d, a
}

// fail takes the power away and gives what is left of g/a1.
func fail(t *testing.T, d *Disk, seed uint64) *file {
	t.Helper()
	if err := d.Arm("g", 0); err != nil {
		t.Fatal(err)
	}
	if err := d.Revive("h", false, seed); err != nil {
		t.Fatal(err)
	}
	return d.find("h/a1")
}

const seeds = 200

func TestWhatIsSyncedStays(t *testing.T) {
	outcomes := map[string]bool{}
	for seed := range uint64(seeds) {
		d, a := replica(t)
		f := d.create(a, "x", false, 0o600)
		d.write(f, []byte("hello"), 0)
		d.sync(f)
		d.sync(a)
		d.write(f, []byte("J"), 0)
		d.write(f, make([]byte, 2*sector), 5)
		d.resize(f, 600)
		x := fail(t, d, seed).names["x"]
		if x == nil || len(x.data) < 5 || string(x.data[1:5]) != "ello" {
			t.Fatalf("seed %d: what was synced is gone: %v", seed, x)
		}
		outcomes[string(x.data)] = true
	}
	if len(outcomes) < 5 {
		t.Errorf("%d different outcomes, want some", len(outcomes))
	}
}

func TestNamesNeedASyncOfTheirs(t *testing.T) {
	found := map[bool]int{}
	for seed := range uint64(seeds) {
		d, a := replica(t)
		f := d.create(a, "x", false, 0o600)
		d.write(f, []byte("hello"), 0)
		d.sync(f)
		found[fail(t, d, seed).names["x"] != nil]++
	}
	if found[true] == 0 || found[false] == 0 {
		t.Errorf("a name that was not synced: there and gone %v times, want both", found)
	}
}

// TestRenames: a file that is moved has one of its names, or both where it goes to another directory.
func TestRenames(t *testing.T) {
	for seed := range uint64(seeds) {
		d, a := replica(t)
		b := d.create(a, "b", true, 0o700)
		for _, name := range []string{"x", "y"} {
			d.sync(d.create(a, name, false, 0o600))
		}
		d.sync(a)
		if errno := d.rename(a, "x", a, "z"); errno != 0 {
			t.Fatal(errno)
		}
		if errno := d.rename(a, "y", b, "y"); errno != 0 {
			t.Fatal(errno)
		}
		left := fail(t, d, seed)
		if (left.names["x"] == nil) == (left.names["z"] == nil) {
			t.Errorf("seed %d: x is there %v, z %v, want one", seed, left.names["x"] != nil, left.names["z"] != nil)
		}
		if left.names["y"] == nil && left.names["b"].names["y"] == nil {
			t.Errorf("seed %d: y is in neither directory", seed)
		}
	}
}

func TestADeadProcessLosesNothing(t *testing.T) {
	d, a := replica(t)
	f := d.create(a, "x", false, 0o600)
	d.write(f, []byte("hello"), 0)
	if err := d.Arm("g", 0); err != nil {
		t.Fatal(err)
	}
	if err := d.Revive("h", true, 1); err != nil {
		t.Fatal(err)
	}
	x := d.find("h/a1/x")
	if x == nil || string(x.data) != "hello" || len(x.writes) == 0 || len(x.durable) != 0 {
		t.Errorf("after the death of a process: got %+v, want all of it, and nothing durable", x)
	}
}

// TestWhatComesLaterIsLost: the power fails at its step, though those who look see more.
func TestWhatComesLaterIsLost(t *testing.T) {
	d, a := replica(t)
	f := d.create(a, "x", false, 0o600)
	d.sync(a)
	if err := d.Arm("g", 2); err != nil {
		t.Fatal(err)
	}
	d.write(f, []byte("one"), 0)
	d.sync(f)
	if d.Failed() {
		t.Error("failed too early")
	}
	d.write(f, []byte("two"), 0)
	d.sync(f)
	if !d.Failed() || string(f.data) != "two" {
		t.Errorf("failed %v, reads %q, want what was written", d.Failed(), f.data)
	}
	if err := d.Revive("h", false, 1); err != nil {
		t.Fatal(err)
	}
	if got := string(d.find("h/a1/x").data); got != "one" && got != "two" {
		t.Errorf("left: %q", got)
	}
}

func TestKindsCanBeSwitchedOff(t *testing.T) {
	d, a := replica(t)
	f := d.create(a, "0000000000000001.seg", false, 0o600)
	d.sync(f)
	if got := f.kind(); got != "" {
		t.Errorf("nothing to sync: got kind %q", got)
	}
	d.Ignore("N.seg")
	if err := d.Arm("g", 100); err != nil {
		t.Fatal(err)
	}
	d.write(f, []byte("x"), 0)
	d.sync(f)
	d.sync(a)
	if len(f.durable) != 0 {
		t.Error("a sync that was switched off worked")
	}
	var kinds []string
	for kind := range d.Ignore("") {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	if want := []string{"N.seg", "replica: new N.seg"}; !slices.Equal(kinds, want) {
		t.Errorf("kinds: got %q, want %q", kinds, want)
	}
}

func TestFaultsOfUse(t *testing.T) {
	d, a := replica(t)
	if err := d.Arm("nowhere", 1); err == nil {
		t.Error("armed what is not there")
	}
	if err := d.Revive("h", false, 1); err == nil {
		t.Error("revived what was not armed")
	}
	if err := d.Arm("g", 1); err != nil {
		t.Fatal(err)
	}
	if err := d.Revive("g", false, 1); err == nil {
		t.Error("revived over what is there")
	}
	if got := d.remove(a, "x"); got != syscall.ENOENT {
		t.Errorf("remove: got %v, want %v", got, syscall.ENOENT)
	}
	if got := d.rename(a, "x", a, "y"); got != syscall.ENOENT {
		t.Errorf("rename: got %v, want %v", got, syscall.ENOENT)
	}
	if asked, err := Serve(); asked || err != nil || os.Getenv(Env) != "" {
		t.Errorf("serve without a mount point: got %v, %v", asked, err)
	}
}

// TestMemoryIsBounded: what no sync covers is written back by halves, and what is removed is forgotten.
func TestMemoryIsBounded(t *testing.T) {
	d, a := replica(t)
	f := d.create(a, "x", false, 0o600)
	d.sync(a)
	d.Ignore("x")
	if err := d.Arm("g", 1<<20); err != nil {
		t.Fatal(err)
	}
	for i := range 3 * mostHeld {
		d.write(f, []byte{byte(i)}, i%100)
		d.sync(f)
		d.create(a, "y", false, 0o600)
		if errno := d.remove(a, "y"); errno != 0 {
			t.Fatal(errno)
		}
	}
	if len(f.writes) > mostHeld || f.held != len(f.writes) || len(a.changes) > mostHeld || len(f.durable) != 100 {
		t.Errorf("%d writes of %d bytes and %d changes are kept, %d bytes are durable", len(f.writes), f.held, len(a.changes), len(f.durable))
	}
	for range 5 {
		d.write(f, make([]byte, mostBytes/2), 0)
	}
	if f.held > mostBytes {
		t.Errorf("%d bytes of writes are kept", f.held)
	}
	if err := d.Revive("h", false, 1); err != nil {
		t.Fatal(err)
	}
	h := d.root.names["h"]
	clear(h.names)
	if errno := d.remove(d.root, "h"); errno != 0 {
		t.Fatal(errno)
	}
	if len(d.root.synced) != 1 || len(d.root.changes) != 0 {
		t.Errorf("the root remembers %v", d.root.synced)
	}
}
