package replication

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// Propose is Group.Propose over all groups. Commands of several groups are committed beside each other; when some are
// committed and others are not, the error is skein.ErrUnknownOutcome: propose all of them again.
func (r *Region) Propose(ctx context.Context, commands ...session.Command) ([]session.Result, error) {
	if len(commands) == 0 {
		return nil, nil
	}
	first := GroupOf(commands[0].Session, len(r.groups))
	parts := map[int][]int{} // positions in commands by group
	for i := range commands {
		g := GroupOf(commands[i].Session, len(r.groups))
		parts[g] = append(parts[g], i)
	}
	if len(parts) == 1 {
		return r.groups[first].Propose(ctx, commands...)
	}
	results := make([]session.Result, len(commands))
	errs := make([]error, len(r.groups))
	var wg sync.WaitGroup
	for g, at := range parts {
		wg.Go(func() {
			part := make([]session.Command, len(at))
			for i, pos := range at {
				part[i] = commands[pos]
			}
			done, err := r.groups[g].Propose(ctx, part...)
			for i := range done {
				results[at[i]] = done[i]
			}
			errs[g] = err
		})
	}
	wg.Wait()
	if err := joint(errs, len(parts)); err != nil {
		return nil, err
	}
	return results, nil
}

// joint makes one error of those of the groups that took part: a refusal, if all refused.
func joint(errs []error, parts int) error {
	failed := slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err == nil })
	if len(failed) == 0 {
		return nil
	}
	for _, err := range failed {
		if errors.Is(err, skein.ErrUnknownOutcome) {
			return err
		}
	}
	if len(failed) < parts {
		return skein.Fault(skein.CodeUnknownOutcome, "%d of %d groups refused: %v", len(failed), parts, failed[0])
	}
	return failed[0]
}

// Read is Group.Read in the session's group.
func (r *Region) Read(ctx context.Context, id skein.SessionID, after skein.Seq) (*session.State, error) {
	return r.Of(id).Read(ctx, id, after)
}

// History is Group.History in the session's group.
func (r *Region) History(ctx context.Context, id skein.SessionID, after skein.Seq, limit int) ([]session.Event, error) {
	return r.Of(id).History(ctx, id, after, limit)
}

// QuorumOf reports whether the session's group can be expected to commit.
func (r *Region) QuorumOf(id skein.SessionID) bool { return r.Of(id).Quorum() }

// Sessions is Group.Sessions over all groups.
func (r *Region) Sessions(after skein.SessionID, limit int) ([]*session.State, error) {
	var all []*session.State
	for _, g := range r.groups {
		page, err := g.Sessions(after, limit)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
	}
	slices.SortFunc(all, func(a, b *session.State) int { return compareIDs(a.ID, b.ID) })
	return all[:max(0, min(limit, maxSessions, len(all)))], nil
}

// DeadLetters is Group.DeadLetters over all groups.
func (r *Region) DeadLetters(after skein.SessionID, limit int) (page []DeadLetter, next skein.SessionID, err error) {
	pages := make([]letterPage, len(r.groups))
	for i, g := range r.groups {
		if pages[i].letters, pages[i].next, err = g.DeadLetters(after, limit); err != nil {
			return nil, "", err
		}
	}
	page, next = mergeLetters(pages, min(limit, maxLetters))
	return page, next, nil
}

// letterPage is what one group gave: all its letters up to the session next, or all that there are when that is empty.
type letterPage struct {
	letters []DeadLetter
	next    skein.SessionID
}

// mergeLetters joins pages of several groups into one of whole sessions: at most limit letters, or one session's.
func mergeLetters(pages []letterPage, limit int) (page []DeadLetter, next skein.SessionID) {
	for _, p := range pages {
		page = append(page, p.letters...)
		if p.next != "" && (next == "" || p.next < next) {
			next = p.next // behind it a group may have more than it gave
		}
	}
	slices.SortStableFunc(page, func(a, b DeadLetter) int { return cmp.Compare(a.Session, b.Session) })
	end := len(page)
	if next != "" {
		end, _ = slices.BinarySearchFunc(page, next, func(l DeadLetter, id skein.SessionID) int {
			if l.Session <= id {
				return -1
			}
			return 1
		})
	}
	if end > limit {
		end = wholeSessions(page, limit)
	}
	if end < len(page) && end > 0 && (next == "" || page[end-1].Session < next) {
		next = page[end-1].Session
	}
	return page[:end], next
}

// wholeSessions gives the most letters, up to limit, that end with a session; more when the first session has more.
func wholeSessions(page []DeadLetter, limit int) int {
	end := limit
	for end > 0 && page[end].Session == page[end-1].Session {
		end--
	}
	if end > 0 {
		return end
	}
	for end < len(page) && page[end].Session == page[0].Session {
		end++
	}
	return end
}
