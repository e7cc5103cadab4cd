package dev

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// pollEvery is the pause between two questions to one node.
const pollEvery = 100 * time.Millisecond

// watchReady reports each node of the first start when it is ready, and returns then, or when ctx has ended.
func (s *supervisor) watchReady(ctx context.Context) {
	var polls sync.WaitGroup
	defer polls.Wait()
	for _, n := range s.first {
		polls.Go(func() {
			if waitReady(ctx, n.Admin) != nil {
				return
			}
			select {
			case s.ready <- n.ID:
			case <-ctx.Done():
			}
		})
	}
}

// waitReady asks the admin endpoint at addr until it says that its node is ready, or ctx has ended.
func waitReady(ctx context.Context, addr string) error {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := askReady(ctx, client, addr)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", err)
		}
	}
}

func askReady(ctx context.Context, client *http.Client, addr string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s %s", addr, resp.Status, body)
	}
	return nil
}
