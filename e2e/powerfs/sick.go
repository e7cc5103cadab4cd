package powerfs

import (
	"context"
	"strings"
	"syscall"
)

// sickness is what is wrong with the disk under a tree.
type sickness struct {
	cured chan struct{} // closed by Cure; writes and syncs wait for it
	once  bool          // instead, the next sync fails
}

// Hang makes every write and sync below sub wait for Cure, or for the end of the process that asks.
func (d *Disk) Hang(sub string) { d.infect(sub, &sickness{cured: make(chan struct{})}) }

// Break makes the next sync below sub fail with EIO; what was written since the last one stays to be read, and is not durable.
func (d *Disk) Break(sub string) { d.infect(sub, &sickness{cured: make(chan struct{}), once: true}) }

// Cure ends what Hang and Break began.
func (d *Disk) Cure(sub string) { d.infect(sub, nil) }

func (d *Disk) infect(sub string, s *sickness) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old := d.sick[sub]; old != nil {
		close(old.cured)
	}
	delete(d.sick, sub)
	if s != nil {
		d.sick[sub] = s
	}
}

// admit waits, or fails, for a write or a sync of f.
func (d *Disk) admit(ctx context.Context, f *file, sync bool) syscall.Errno {
	s := d.sickOf(f, sync)
	switch {
	case s == nil:
		return 0
	case s.once:
		return syscall.EIO
	}
	select {
	case <-s.cured:
		return 0
	case <-ctx.Done():
		return syscall.EINTR
	}
}

func (d *Disk) sickOf(f *file, sync bool) *sickness {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := f.where()
	for sub, s := range d.sick {
		if at != sub && !strings.HasPrefix(at, sub+"/") || s.once && !sync {
			continue
		}
		if s.once {
			delete(d.sick, sub)
		}
		return s
	}
	return nil
}
