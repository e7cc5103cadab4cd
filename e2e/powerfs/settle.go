package powerfs

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"regexp"
	"slices"
	"strings"
)

const sector = 512 // bytes; a write is torn between two of them

// Arm makes the power of the tree at sub fail after some more steps: changes of names, writes and syncs. What
// happens there afterwards is seen by those who look, and lost.
func (d *Disk) Arm(sub string, steps int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.find(sub) == nil {
		return fmt.Errorf("arm %s: there is nothing", sub)
	}
	d.fuse, d.image = &fuse{sub: sub, left: steps}, nil
	return nil
}

// Failed reports whether the power has failed since Arm.
func (d *Disk) Failed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.image != nil
}

// Revive puts what is left of the tree that was armed at a new path; when its power has not failed yet, it does now. With
// power the process alone had died: nothing is lost, and nothing becomes durable by it.
func (d *Disk) Revive(to string, power bool, seed uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fuse == nil {
		return fmt.Errorf("revive %s: nothing was armed", to)
	}
	parent := d.find(path.Dir(to))
	if parent == nil || !parent.dir || parent.names[path.Base(to)] != nil {
		return fmt.Errorf("revive %s: no room there", to)
	}
	d.fuse.left = 0
	d.step(d.find(d.fuse.sub))
	tree := d.image
	if !power {
		tree.settle(rand.New(rand.NewPCG(seed, 5)), map[*file]bool{})
	}
	d.renumber(tree, map[*file]bool{})
	tree.name, tree.up = path.Base(to), parent
	parent.names[tree.name], parent.synced[tree.name] = tree, tree
	d.fuse, d.image = nil, nil
	return nil
}

// renumber gives new inode numbers, so that no cache takes a file for an older one.
func (d *Disk) renumber(f *file, done map[*file]bool) {
	if done[f] {
		return
	}
	done[f] = true
	d.ino++
	f.ino = d.ino
	for _, m := range []map[string]*file{f.names, f.synced} {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			d.renumber(m[name], done)
		}
	}
	for _, c := range f.changes {
		d.renumber(c.file, done)
	}
}

// settle decides what is left of a tree.
func (f *file) settle(rng *rand.Rand, done map[*file]bool) {
	if done[f] {
		return
	}
	done[f] = true
	if !f.dir {
		f.settleData(rng)
		return
	}
	how, keep := rng.IntN(4), rng.IntN(len(f.changes)+1) // nothing, everything, a beginning, any
	for i, c := range f.changes {
		if how == 1 || how == 2 && i < keep || how == 3 && rng.IntN(2) == 0 {
			if c.to != nil && c.to.synced[c.file.name] != c.file && !slices.ContainsFunc(c.to.changes, func(o change) bool { return o.file == c.file && o.add != "" }) {
				continue // its other name was synced and lost again: cannot be
			}
			if c.to != nil { // the addition comes first
				c.to.keep(c.file)
			}
			apply(f.synced, c)
		}
	}
	f.changes = nil
	f.names = cloneNames(f.synced)
	for _, name := range slices.Sorted(maps.Keys(f.names)) {
		x := f.names[name]
		x.name, x.up = name, f
		x.settle(rng, done)
	}
}

// keep makes the name durable under which x was added.
func (f *file) keep(x *file) {
	for _, c := range f.changes {
		if c.file == x && c.add != "" {
			apply(f.synced, change{add: c.add, file: x})
		}
	}
}

// settleData decides what of the writes since the last sync is on the disk.
func (f *file) settleData(rng *rand.Rand) {
	switch rng.IntN(4) {
	case 0: // nothing
	case 1: // everything
		f.durable = f.data
	case 2: // a beginning; the last write of it is torn
		keep := rng.IntN(len(f.writes) + 1)
		for i, w := range f.writes[:keep] {
			if i == keep-1 && !w.cut {
				w.data = w.data[:min(len(w.data), rng.IntN(len(w.data)/sector+1)*sector+(sector-w.at%sector)%sector)]
			}
			f.durable = w.put(f.durable)
		}
	case 3: // sectors in any order
		for _, w := range f.writes {
			if w.cut {
				if rng.IntN(2) == 0 {
					f.durable = w.put(f.durable)
				}
				continue
			}
			for at := 0; at < len(w.data); {
				end := min(len(w.data), at+sector-(w.at+at)%sector)
				if rng.IntN(2) == 0 {
					f.durable = write{at: w.at + at, data: w.data[at:end]}.put(f.durable)
				}
				at = end
			}
		}
	}
	f.data, f.writes, f.held = slices.Clone(f.durable), nil, 0
	f.durable = slices.Clone(f.durable)
}

// Ignore switches syncs of a kind off while a tree is armed; "" switches all on. It gives how often each kind was seen since
// the last call.
func (d *Disk) Ignore(kind string) map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	seen := d.kinds
	d.ignore, d.kinds = kind, map[string]int{}
	return seen
}

// names that differ from run to run, and what stands for them.
var plain = []struct {
	from *regexp.Regexp
	to   string
}{
	{regexp.MustCompile(`^[0-9a-f]{16}\.seg`), "N.seg"},
	{regexp.MustCompile(`^\d+-\d+-\d+`), "ID"},
	{regexp.MustCompile(`^quarantine-.*`), "quarantine"},
	{regexp.MustCompile(`^incoming-.*`), "incoming"},
	{regexp.MustCompile(`^outgoing-.*`), "outgoing"},
}

func plainName(name string) string {
	for _, p := range plain {
		name = p.from.ReplaceAllString(name, p.to)
	}
	return name
}

// metaPages are the first two pages of a bbolt file, written last in a transaction.
const metaPages = 2 * 4096

// kind names the sync of what f has pending, without the two directories that lead to a replica's own; "" when there is
// nothing pending. A directory's sync is named by what it makes durable: a name that is new goes before one that is gone.
func (f *file) kind() string {
	var parts []string
	for x := f; x != nil && x.up != nil; x = x.up {
		parts = append(parts, plainName(x.name))
	}
	slices.Reverse(parts)
	at := strings.Join(parts[min(2, len(parts)):], "/")
	switch {
	case len(parts) < 2:
		return "above: new replica"
	case at == "":
		at = "replica"
	}
	if !f.dir {
		switch {
		case len(f.writes) == 0:
			return ""
		case !strings.HasPrefix(path.Base(at), "state.db"):
			return at
		case slices.ContainsFunc(f.writes, func(w write) bool { return w.at >= metaPages }):
			return at + ": pages"
		}
		return at + ": meta"
	}
	kind := ""
	for _, c := range f.changes {
		switch {
		case c.add != "":
			kind = at + ": new " + plainName(c.add)
		case kind == "":
			kind = at + ": gone " + plainName(c.drop)
		}
	}
	return kind
}
