package histories

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/skein-mesh/skein"
)

type status struct {
	Group struct {
		Role    string       `json:"role"`
		Leader  skein.NodeID `json:"leader"`
		Applied uint64       `json:"applied"`
	} `json:"group"`
	RSS   uint64 `json:"rss_bytes"`
	Ready string `json:"ready"`
}

// ask gets a page of a node's admin endpoint.
func (f *fleet) ask(a *agent, path string) ([]byte, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+a.adm+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+f.admin)
	c := http.Client{Timeout: time.Second}
	defer c.CloseIdleConnections()
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s of %s: %s", path, a.id, resp.Status)
	}
	return data, err
}

func (f *fleet) status(a *agent) (s status, err error) {
	data, err := f.ask(a, "/debug/status")
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	return s, err
}
