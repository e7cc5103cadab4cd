package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

// etcdCluster is three members of etcd with its defaults; it syncs its log before it acknowledges.
type etcdCluster struct {
	members []*embed.Etcd
	clients []*clientv3.Client // one for each member; client i of the load uses number i mod 3
}

const (
	etcdPrefix = "bench/"
	// etcdQuota is above the default of 2 GiB, so that a long run is not refused.
	etcdQuota = 8 << 30
)

// startEtcd starts three members and connects to each over TCP, or, with direct, calls it in this process.
func startEtcd(ctx context.Context, dir string, direct bool) (system, error) {
	configs, err := etcdConfigs(dir)
	if err != nil {
		return nil, err
	}
	s := &etcdCluster{}
	for _, cfg := range configs {
		m, err := embed.StartEtcd(cfg)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("member %s: %w%s", cfg.Name, err, tail(cfg.LogOutputs[0])), s.stop())
		}
		s.members = append(s.members, m)
	}
	for i, m := range s.members {
		select {
		case <-m.Server.ReadyNotify():
			continue
		case err = <-m.Err():
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		return nil, errors.Join(fmt.Errorf("member %s: %w%s", configs[i].Name, err, tail(configs[i].LogOutputs[0])), s.stop())
	}
	if err := s.connect(ctx, direct); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func etcdConfigs(dir string) ([]*embed.Config, error) {
	configs := make([]*embed.Config, replicas)
	var cluster []string
	for i := range configs {
		peer, err := freePort()
		if err != nil {
			return nil, err
		}
		client, err := freePort()
		if err != nil {
			return nil, err
		}
		cfg := embed.NewConfig()
		cfg.Name = fmt.Sprintf("m%d", i)
		cfg.Dir = replicaDir(dir, cfg.Name)
		cfg.ListenPeerUrls = []url.URL{{Scheme: "http", Host: peer.String()}}
		cfg.ListenClientUrls = []url.URL{{Scheme: "http", Host: client.String()}}
		cfg.AdvertisePeerUrls, cfg.AdvertiseClientUrls = cfg.ListenPeerUrls, cfg.ListenClientUrls
		cfg.QuotaBackendBytes = etcdQuota
		cfg.LogLevel = "error"
		cfg.LogOutputs = []string{filepath.Join(dir, cfg.Name+".log")}
		configs[i] = cfg
		cluster = append(cluster, cfg.Name+"="+cfg.ListenPeerUrls[0].String())
	}
	for _, cfg := range configs {
		cfg.InitialCluster = strings.Join(cluster, ",")
	}
	return configs, nil
}

func (s *etcdCluster) connect(ctx context.Context, direct bool) error {
	for _, m := range s.members {
		if direct {
			s.clients = append(s.clients, v3client.New(m.Server))
			continue
		}
		at := m.Config().ListenClientUrls[0].Host
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{at}, Context: context.WithoutCancel(ctx)})
		if err != nil {
			return fmt.Errorf("connect to %s: %w", at, err)
		}
		s.clients = append(s.clients, c)
	}
	for _, c := range s.clients { // so that no client of the load waits for a handshake
		if _, err := c.Get(ctx, etcdPrefix); err != nil {
			return fmt.Errorf("first read: %w", err)
		}
	}
	return nil
}

// writer puts a new key with every record, so that they can be counted.
func (s *etcdCluster) writer(_ context.Context, i int) (func(context.Context) error, error) {
	client, value, n := s.clients[i%replicas], text(recordSize), 0
	return func(ctx context.Context) error {
		n++
		_, err := client.Put(ctx, fmt.Sprintf("%s%d/%d", etcdPrefix, i, n), value)
		return err
	}, nil
}

// count asks for a linearizable count of the keys.
func (s *etcdCluster) count(ctx context.Context) (int, error) {
	resp, err := s.clients[0].Get(ctx, etcdPrefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return 0, err
	}
	return int(resp.Count), nil
}

func (s *etcdCluster) leader(context.Context) string {
	server := s.members[0].Server
	return fmt.Sprintf("%s in term %d", server.Leader(), server.Term())
}

func (s *etcdCluster) stop() error {
	var errs []error
	for _, c := range s.clients {
		if err := c.Close(); err != nil && !errors.Is(err, context.Canceled) {
			errs = append(errs, err)
		}
	}
	for _, m := range s.members {
		m.Close()
	}
	return errors.Join(errs...)
}

// tail gives the end of a log, for the reason why something did not start.
func tail(path string) string {
	buf, err := os.ReadFile(path)
	if err != nil || len(buf) == 0 {
		return ""
	}
	const most = 2 << 10
	return "; its log ends with: " + strings.TrimSpace(string(buf[max(0, len(buf)-most):]))
}
