package assistant

import (
	"encoding/json"
	"fmt"

	"github.com/skein-mesh/skein/session"
)

// memoryFormat is the version of the stored form. Fields may be added without raising it.
const memoryFormat = 1

// memory is what a session remembers between turns.
type memory struct {
	Format     int               `json:"v"`
	Definition int               `json:"def"` // version of the definition that wrote it
	Language   string            `json:"lang,omitempty"`
	Intent     string            `json:"intent,omitempty"` // the last one
	Flow       string            `json:"flow,omitempty"`   // the last one that began
	Slots      map[string]value  `json:"slots,omitempty"`
	Stack      []frame           `json:"stack,omitempty"` // flows that wait for an answer; the last one asked
	Seen       map[string]string `json:"seen,omitempty"`  // by entity, what was mentioned last
}

// frame is a flow that waits.
type frame struct {
	Flow      string           `json:"flow"`
	Step      string           `json:"step"`
	Asked     string           `json:"asked,omitempty"` // the slot, or confirmAsked
	Tries     int              `json:"tries,omitempty"`
	Confirmed bool             `json:"confirmed,omitempty"`
	Result    value            `json:"result,omitzero"`
	Saved     map[string]value `json:"saved,omitempty"` // its slots while another flow runs above it

	flow *flow
	pc   int
}

// confirmAsked stands in frame.Asked for a yes or no; no slot has such a name.
const confirmAsked = "?"

func (m *memory) top() *frame {
	if len(m.Stack) == 0 {
		return nil
	}
	return &m.Stack[len(m.Stack)-1]
}

// recall reads a memory; an empty one is a new session. What the present definition no longer knows is
// forgotten; a flow whose step is gone begins again, and asks to confirm again.
func (a *Assistant) recall(data []byte) (*memory, error) {
	m := a.blank()
	if len(data) == 0 {
		return m, nil
	}
	if len(data) > session.MaxMemory {
		return nil, fmt.Errorf("%w: memory of %d bytes, at most %d", ErrFinal, len(data), session.MaxMemory)
	}
	if !m.read(data) {
		m = a.blank()
		if err := json.Unmarshal(data, m); err != nil {
			return nil, fmt.Errorf("%w: memory: %w", ErrFinal, err)
		}
	}
	if m.Format > memoryFormat {
		// Another node runs a newer version; this one must not take the session back.
		return nil, fmt.Errorf("memory of format %d; this version reads up to %d", m.Format, memoryFormat)
	}
	if m.Format < 1 {
		return nil, fmt.Errorf("%w: memory without a format", ErrFinal)
	}
	if m.Slots == nil {
		m.Slots = map[string]value{}
	}
	if m.Seen == nil {
		m.Seen = map[string]string{}
	}
	a.migrate(m)
	return m, nil
}

func (a *Assistant) blank() *memory {
	return &memory{Format: memoryFormat, Definition: a.def.version, Slots: map[string]value{}, Seen: map[string]string{}}
}

func (a *Assistant) migrate(m *memory) {
	a.keepSlots(m.Slots)
	if a.def.intent(m.Intent) == nil {
		m.Intent = ""
	}
	if a.def.flow(m.Flow) == nil {
		m.Flow = ""
	}
	kept := m.Stack[:0]
	for _, f := range m.Stack[:min(len(m.Stack), maxStack)] {
		if f.flow = a.def.flow(f.Flow); f.flow == nil {
			continue
		}
		a.keepSlots(f.Saved)
		f.pc = f.flow.find(f.Step)
		moved := f.pc >= 0 && m.Definition != a.def.version && !f.flow.steps[f.pc].named
		if f.pc < 0 || moved || !f.fits() {
			f.pc, f.Confirmed, f.Asked, f.Tries, f.Result = 0, false, "", 0, value{}
		}
		kept = append(kept, f)
	}
	m.Stack = kept
	m.Definition = a.def.version
}

// fits reports whether what was asked is what the step asks.
func (f *frame) fits() bool {
	s := &f.flow.steps[f.pc]
	switch s.op {
	case opConfirm:
		return f.Asked == confirmAsked
	case opCollect:
		for _, name := range s.slots {
			if name == f.Asked {
				return true
			}
		}
	}
	return false
}

func (a *Assistant) keepSlots(m map[string]value) {
	for name, v := range m {
		if s := a.def.slots[name]; s == nil || !s.holds(v) {
			delete(m, name)
		}
	}
}

// encode writes a memory. When it is too large, what can be found out again goes first: results, mentions, then
// what tools gave.
func (a *Assistant) encode(m *memory) []byte {
	for i := range m.Stack {
		if f := &m.Stack[i]; f.pc < len(f.flow.steps) {
			f.Step = f.flow.steps[f.pc].id
		}
	}
	shrink := []func(){
		func() { m.Seen = nil },
		func() {
			for name, s := range a.def.slots {
				if s.kind == "object" {
					delete(m.Slots, name)
				}
			}
		},
		func() { m.Stack, m.Slots = nil, nil },
	}
	for i := 0; ; i++ {
		b := m.append(make([]byte, 0, 512))
		if len(b) <= session.MaxMemory || i == len(shrink) {
			return b
		}
		shrink[i]()
	}
}
