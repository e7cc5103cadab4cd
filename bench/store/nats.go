package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsCluster is three servers of NATS with a JetStream stream in files on each, synced before the answer.
type natsCluster struct {
	servers []*server.Server
	conns   []*nats.Conn // one to each server; client i of the load uses number i mod 3
	streams []jetstream.JetStream
	stream  jetstream.Stream
}

const natsStream = "BENCH"

// startNATS starts three servers and connects to each over TCP, or, with direct, through a pipe in this process.
func startNATS(ctx context.Context, dir string, direct bool) (system, error) {
	s := &natsCluster{}
	if err := s.serve(ctx, dir); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	if err := s.connect(direct); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	if err := until(ctx, func() error { return s.create(ctx) }); err != nil {
		return nil, errors.Join(fmt.Errorf("stream: %w", err), s.stop())
	}
	if err := until(ctx, func() error { return s.inSync(ctx) }); err != nil {
		return nil, errors.Join(fmt.Errorf("stream: %w", err), s.stop())
	}
	return s, nil
}

func (s *natsCluster) serve(ctx context.Context, dir string) error {
	routes := make([]*url.URL, replicas)
	ports := make([]int, replicas)
	for i := range replicas {
		at, err := freePort()
		if err != nil {
			return err
		}
		ports[i], routes[i] = int(at.Port()), &url.URL{Scheme: "nats", Host: at.String()}
	}
	for i := range replicas {
		name := fmt.Sprintf("n%d", i)
		srv, err := server.NewServer(&server.Options{
			ServerName: name, Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true,
			JetStream: true, StoreDir: replicaDir(dir, name), SyncAlways: true,
			Cluster: server.ClusterOpts{Name: "bench", Host: "127.0.0.1", Port: ports[i]}, Routes: routes,
		})
		if err != nil {
			return fmt.Errorf("server %s: %w", name, err)
		}
		log := &natsLog{}
		srv.SetLogger(log, false, false)
		s.servers = append(s.servers, srv)
		srv.Start()
		ready := func() error {
			if !srv.ReadyForConnections(pollEvery) {
				return errors.New("it accepts no connections")
			}
			return nil
		}
		if err := until(ctx, func() error { return errors.Join(log.fatal(), ready()) }); err != nil {
			return fmt.Errorf("server %s: %w", name, err)
		}
	}
	return nil
}

func (s *natsCluster) connect(direct bool) error {
	for _, srv := range s.servers {
		var opts []nats.Option
		if direct {
			opts = append(opts, nats.InProcessServer(srv))
		}
		nc, err := nats.Connect(srv.ClientURL(), opts...)
		if err != nil {
			return fmt.Errorf("connect to %s: %w", srv.Name(), err)
		}
		s.conns = append(s.conns, nc)
		js, err := jetstream.New(nc)
		if err != nil {
			return fmt.Errorf("connect to %s: %w", srv.Name(), err)
		}
		s.streams = append(s.streams, js)
	}
	return nil
}

// natsAsk is for one request about the stream; while the servers elect a leader there is no answer.
const natsAsk = 2 * time.Second

// create makes the stream, or finds it made by a call that was given up.
func (s *natsCluster) create(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, natsAsk)
	defer cancel()
	s.stream, err = s.streams[0].CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: natsStream, Subjects: []string{"bench.>"}, Storage: jetstream.FileStorage, Replicas: replicas,
	})
	return err
}

// inSync reports whether all replicas follow.
func (s *natsCluster) inSync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, natsAsk)
	defer cancel()
	info, err := s.stream.Info(ctx)
	if err != nil {
		return err
	}
	if info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != replicas-1 {
		return errors.New("not all replicas are placed")
	}
	for _, r := range info.Cluster.Replicas {
		if !r.Current || r.Offline {
			return fmt.Errorf("replica %s does not follow", r.Name)
		}
	}
	return nil
}

// writer publishes with an acknowledgement that the stream has stored the message.
func (s *natsCluster) writer(_ context.Context, i int) (func(context.Context) error, error) {
	js, subject, payload := s.streams[i%replicas], fmt.Sprintf("bench.%d", i), []byte(text(recordSize))
	return func(ctx context.Context) error {
		_, err := js.Publish(ctx, subject, payload)
		return err
	}, nil
}

func (s *natsCluster) count(ctx context.Context) (int, error) {
	info, err := s.stream.Info(ctx)
	if err != nil {
		return 0, err
	}
	return int(info.State.Msgs), nil
}

func (s *natsCluster) leader(ctx context.Context) string {
	info, err := s.stream.Info(ctx)
	if err != nil || info.Cluster == nil {
		return ""
	}
	return info.Cluster.Leader
}

func (s *natsCluster) stop() error {
	for _, nc := range s.conns {
		nc.Close()
	}
	for _, srv := range s.servers {
		srv.Shutdown()
		srv.WaitForShutdown()
	}
	return nil
}
