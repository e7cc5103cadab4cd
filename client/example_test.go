package client_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/netip"
	"time"

	"github.com/skein-mesh/skein/client"
)

// A conversation that outlives the node it runs on: when that node dies, the pieces go on from another.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := client.Dial(ctx, client.Config{
		Service: "assistant.skein.test",
		DNS:     []netip.AddrPort{netip.MustParseAddrPort("127.0.1.1:8053")},
		Token:   func(context.Context) (string, error) { return "a bearer token", nil },
		OnMove: func(m client.Move) {
			fmt.Printf("moved %s → %s in %s\n", m.From.ID, m.To.ID, m.Took.Round(time.Millisecond))
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	s, err := c.Open(ctx, "my-order", client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	turn, err := s.Send(ctx, "where is my order SO10021")
	if err != nil {
		log.Fatal(err)
	}
	for {
		p, err := turn.Next(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(p.Text)
	}
}
