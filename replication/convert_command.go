package replication

import (
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

// commandToWire gives the stored form of c; an unknown body is refused, since no replica could apply it.
func commandToWire(c *session.Command) (*wire.Command, error) {
	w := &wire.Command{Session: string(c.Session), Expect: uint64(c.Expect), AtMs: toMillis(c.At)}
	switch b := c.Body.(type) {
	case session.Open:
		w.Body = &wire.Command_Open{Open: &wire.CmdOpen{Subject: string(b.Subject), Assistant: b.Assistant, Home: string(b.Home)}}
	case session.Accept:
		w.Body = &wire.Command_Accept{Accept: &wire.CmdAccept{
			Id: wire.Ref(b.Turn), Subject: string(b.Subject), Text: b.Text,
			Runner: runnerToWire(b.Runner), Place: placeToWire(b.Place), Reply: replyToWire(b.Reply),
		}}
	case session.Start:
		w.Body = &wire.Command_Start{Start: &wire.CmdStart{
			Id: wire.Ref(b.Turn), Attempt: uint32(b.Attempt), Runner: runnerToWire(b.Runner), Place: placeToWire(b.Place),
		}}
	case session.Progress:
		w.Body = &wire.Command_Progress{Progress: &wire.CmdProgress{Run: runToWire(b.Run), Offset: uint64(b.Offset), Text: b.Text, Mode: b.Mode}}
	case session.Intend:
		w.Body = &wire.Command_Intend{Intend: &wire.CmdCall{Run: runToWire(b.Run), Call: callToWire(&b.Call)}}
	case session.Outcome:
		w.Body = &wire.Command_Outcome{Outcome: &wire.CmdCall{Run: runToWire(b.Run), Call: callToWire(&b.Call)}}
	case session.Complete:
		w.Body = &wire.Command_Complete{Complete: &wire.CmdComplete{Run: runToWire(b.Run), Reply: replyToWire(&b.Reply)}}
	case session.Fail:
		w.Body = &wire.Command_Fail{Fail: &wire.CmdFail{Run: runToWire(b.Run), Reason: b.Reason, Final: b.Final}}
	case session.Renew:
		w.Body = &wire.Command_Renew{Renew: runToWire(b.Run)}
	case session.Retry:
		w.Body = &wire.Command_Retry{Retry: runToWire(b.Run)}
	case session.Drop:
		w.Body = &wire.Command_Drop{Drop: runToWire(b.Run)}
	case session.Close:
		w.Body = &wire.Command_Close{Close: &wire.CmdClose{Subject: string(b.Subject), Reason: b.Reason}}
	case session.Archive:
		w.Body = &wire.Command_Archive{Archive: &wire.CmdArchive{}}
	case session.Purge:
		w.Body = &wire.Command_Purge{Purge: &wire.CmdPurge{MinAgeMs: b.MinAge.Milliseconds(), Archived: b.Archived}}
	case session.Erase:
		w.Body = &wire.Command_Erase{Erase: &wire.CmdErase{}}
	default:
		return nil, skein.Fault(skein.CodeMalformed, "command of %s has no body", c.Session)
	}
	return w, nil
}

// commandFromWire reads the stored form. A command without a body that this build knows keeps a nil body,
// which session.Apply refuses in the same way on every replica.
func commandFromWire(w *wire.Command) session.Command {
	c := session.Command{Session: skein.SessionID(w.GetSession()), Expect: skein.Seq(w.GetExpect()), At: fromMillis(w.GetAtMs())}
	switch b := w.GetBody().(type) {
	case *wire.Command_Open:
		c.Body = session.Open{Subject: skein.Subject(b.Open.GetSubject()), Assistant: b.Open.GetAssistant(), Home: skein.Region(b.Open.GetHome())}
	case *wire.Command_Accept:
		c.Body = session.Accept{
			Turn: b.Accept.GetId().TurnID(), Subject: skein.Subject(b.Accept.GetSubject()), Text: b.Accept.GetText(),
			Runner: runnerFromWire(b.Accept.GetRunner()), Place: b.Accept.GetPlace().Place(), Reply: replyFromWire(b.Accept.GetReply()),
		}
	case *wire.Command_Start:
		c.Body = session.Start{
			Turn: b.Start.GetId().TurnID(), Attempt: skein.Attempt(b.Start.GetAttempt()),
			Runner: runnerFromWire(b.Start.GetRunner()), Place: b.Start.GetPlace().Place(),
		}
	case *wire.Command_Progress:
		c.Body = session.Progress{Run: runFromWire(b.Progress.GetRun()), Offset: int(b.Progress.GetOffset()), Text: b.Progress.GetText(), Mode: b.Progress.GetMode()}
	case *wire.Command_Intend:
		c.Body = session.Intend{Run: runFromWire(b.Intend.GetRun()), Call: callFromWire(b.Intend.GetCall())}
	case *wire.Command_Outcome:
		c.Body = session.Outcome{Run: runFromWire(b.Outcome.GetRun()), Call: callFromWire(b.Outcome.GetCall())}
	case *wire.Command_Complete:
		var reply session.Reply
		if r := replyFromWire(b.Complete.GetReply()); r != nil {
			reply = *r
		}
		c.Body = session.Complete{Run: runFromWire(b.Complete.GetRun()), Reply: reply}
	case *wire.Command_Fail:
		c.Body = session.Fail{Run: runFromWire(b.Fail.GetRun()), Reason: b.Fail.GetReason(), Final: b.Fail.GetFinal()}
	case *wire.Command_Renew:
		c.Body = session.Renew{Run: runFromWire(b.Renew)}
	case *wire.Command_Retry:
		c.Body = session.Retry{Run: runFromWire(b.Retry)}
	case *wire.Command_Drop:
		c.Body = session.Drop{Run: runFromWire(b.Drop)}
	case *wire.Command_Close:
		c.Body = session.Close{Subject: skein.Subject(b.Close.GetSubject()), Reason: b.Close.GetReason()}
	case *wire.Command_Archive:
		c.Body = session.Archive{}
	case *wire.Command_Purge:
		c.Body = session.Purge{MinAge: ageFromWire(b.Purge.GetMinAgeMs()), Archived: b.Purge.GetArchived()}
	case *wire.Command_Erase:
		c.Body = session.Erase{}
	}
	return c
}

// ageFromWire keeps an age within a Duration: more than 250 years are 250.
func ageFromWire(ms int64) time.Duration {
	const most = 250 * 365 * 24 * int64(time.Hour/time.Millisecond)
	return time.Duration(min(max(ms, 0), most)) * time.Millisecond
}

func replyToWire(r *session.Reply) *wire.CmdReply {
	if r == nil {
		return nil
	}
	return &wire.CmdReply{Text: r.Text, Memory: r.Memory, Source: r.Source}
}

func replyFromWire(w *wire.CmdReply) *session.Reply {
	if w == nil {
		return nil
	}
	return &session.Reply{Text: w.Text, Memory: w.Memory, Source: w.Source}
}

func runToWire(r session.Run) *wire.CmdRun {
	return &wire.CmdRun{Id: wire.Ref(r.Turn), Attempt: uint32(r.Attempt)}
}

func runFromWire(w *wire.CmdRun) session.Run {
	return session.Run{Turn: w.GetId().TurnID(), Attempt: skein.Attempt(w.GetAttempt())}
}
