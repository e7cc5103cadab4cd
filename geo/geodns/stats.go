package geodns

import (
	"sync/atomic"

	"github.com/miekg/dns"
)

// Stats counts what the server has done since it was made.
type Stats struct {
	UDP, TCP  uint64 // requests that were answered
	Dropped   uint64 // packets that got no answer: no request, or before the first Update
	Truncated uint64 // answers over UDP that did not fit
	Rejected  uint64 // TCP connections over the limit

	NoError, FormErr, NXDomain, NotImp, Refused, BadVers uint64 // answers by response code
}

type counters struct {
	udp, tcp, dropped, truncated, rejected               atomic.Uint64
	noError, formErr, nxDomain, notImp, refused, badVers atomic.Uint64
}

func (c *counters) rcode(code int) {
	switch code {
	case dns.RcodeSuccess:
		c.noError.Add(1)
	case dns.RcodeFormatError:
		c.formErr.Add(1)
	case dns.RcodeNameError:
		c.nxDomain.Add(1)
	case dns.RcodeNotImplemented:
		c.notImp.Add(1)
	case dns.RcodeRefused:
		c.refused.Add(1)
	case dns.RcodeBadVers:
		c.badVers.Add(1)
	}
}

// Stats gives the counts so far. They are read one by one, so that their sum may be off by what is in flight.
func (s *Server) Stats() Stats {
	c := &s.count
	return Stats{
		UDP: c.udp.Load(), TCP: c.tcp.Load(), Dropped: c.dropped.Load(), Truncated: c.truncated.Load(), Rejected: c.rejected.Load(),
		NoError: c.noError.Load(), FormErr: c.formErr.Load(), NXDomain: c.nxDomain.Load(),
		NotImp: c.notImp.Load(), Refused: c.refused.Load(), BadVers: c.badVers.Load(),
	}
}
