package wire

import (
	"errors"
	"math"
	"time"

	"github.com/skein-mesh/skein"
)

// FromError gives the wire form of err; what is no skein.Error is told as internal, without its words.
func FromError(err error) *Error {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*skein.Error](err)
	if !ok {
		return &Error{Code: uint32(skein.CodeInternal)}
	}
	return &Error{Code: uint32(e.Code), Detail: e.Detail, RetryAfterMs: uint64(max(0, e.RetryAfter.Milliseconds()))}
}

// Fault gives the error that e carries, nil when e is nil.
func (e *Error) Fault() error {
	if e == nil {
		return nil
	}
	if e.Code > math.MaxUint16 {
		return &skein.Error{Code: skein.CodeInternal, Detail: e.Detail}
	}
	return &skein.Error{Code: skein.Code(e.Code), Detail: e.Detail, RetryAfter: time.Duration(min(e.RetryAfterMs, 86_400_000)) * time.Millisecond}
}

// Ref gives the wire form of a turn id.
func Ref(t skein.TurnID) *TurnRef { return &TurnRef{Client: string(t.Client), Counter: t.Counter} }

// TurnID gives the turn id that r carries; the zero id when r is nil.
func (r *TurnRef) TurnID() skein.TurnID {
	return skein.TurnID{Client: skein.ClientID(r.GetClient()), Counter: r.GetCounter()}
}

// FromPlace gives the wire form of a place.
func FromPlace(p skein.Place) *Where {
	return &Where{Node: string(p.Node), Region: string(p.Region), Zone: string(p.Zone)}
}

// Place gives the place that w carries.
func (w *Where) Place() skein.Place {
	return skein.Place{Node: skein.NodeID(w.GetNode()), Region: skein.Region(w.GetRegion()), Zone: skein.Zone(w.GetZone())}
}
