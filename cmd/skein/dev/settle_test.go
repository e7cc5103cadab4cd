package dev

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestResume(t *testing.T) {
	dir := t.TempDir()
	first, resumed, err := resume(dir, plan{Regions: "eu=a,b,c", Ports: Ports{DNS: 5353}})
	if err != nil || resumed {
		t.Fatalf("first: resumed %v, %v", resumed, err)
	}
	if want := (plan{Regions: "eu=a,b,c", Ports: Ports{8443, 5353, 8080, 7946, 7947}}); first != want {
		t.Errorf("first: got %+v, want %+v", first, want)
	}
	if err := first.save(filepath.Join(dir, planFile)); err != nil {
		t.Fatal(err)
	}
	for _, asked := range []plan{{}, {Regions: "eu=a,b,c"}, {Ports: Ports{DNS: 5353, Client: 8443}}} {
		if got, resumed, err := resume(dir, asked); err != nil || got != first || !resumed {
			t.Errorf("%+v: got %+v, %v, %v; want %+v", asked, got, resumed, err, first)
		}
	}
	for _, tt := range []struct {
		asked plan
		want  string
	}{
		{plan{Regions: "eu=a"}, "leave --regions away"},
		{plan{OneAddress: true}, "leave --one-address away"},
		{plan{Ports: Ports{Admin: 9090}}, "the admin port 8080, not 9090: leave the flags of ports away"},
		{plan{Ports: Ports{DNS: 8053}}, "change its ports in " + filepath.Join(dir, "dev.json")},
	} {
		if _, _, err := resume(dir, tt.asked); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %q", tt.asked, err, tt.want)
		}
	}
}

// What a flag says wrongly is told before a directory is made.
func TestFlagsAreCheckedFirst(t *testing.T) {
	geo := filepath.Join(t.TempDir(), "geo")
	if err := os.WriteFile(geo, []byte("10.0.0.0/8 mars\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		opts Options
		want string
	}{
		{Options{Model: "localhost:8000"}, "--model: want a base URL"},
		{Options{GeoFile: geo}, "region mars, which this mesh does not have"},
		{Options{Assistant: "a.yaml", CheckAssistant: func() error { return errors.New("a.yaml:3:1: no\na.yaml:4:1: nor this") }}, "--assistant: a.yaml:3:1: no; a.yaml:4:1: nor this"},
	} {
		tt.opts.Dir, tt.opts.Stderr = filepath.Join(t.TempDir(), "d"), io.Discard
		if _, err := prepare(tt.opts); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
		if _, err := os.Stat(tt.opts.Dir); !os.IsNotExist(err) {
			t.Errorf("%s: the directory was made: %v", tt.want, err)
		}
	}
}

func TestStopped(t *testing.T) {
	dir := t.TempDir()
	mesh := filepath.Join(dir, "mesh.json")
	if got, stopped := Stopped(mesh); got != "" || stopped {
		t.Errorf("no dev mesh: got %q, %v", got, stopped)
	}
	h := openTestHome(t, dir)
	if err := (plan{}).save(h.path(planFile)); err != nil {
		t.Fatal(err)
	}
	if got, stopped := Stopped(mesh); got != dir || stopped {
		t.Errorf("running: got %q, %v", got, stopped)
	}
	h.close()
	if got, stopped := Stopped(mesh); got != dir || !stopped {
		t.Errorf("stopped: got %q, %v", got, stopped)
	}
	if _, err := Kill(t.Context(), mesh, "eu-a-1"); err == nil || !strings.Contains(err.Error(), "start it with `skein dev --dir "+dir+"`") {
		t.Errorf("kill: got %v", err)
	}
}

// The command that resumes names all that is not in the directory.
func TestCommandThatResumes(t *testing.T) {
	s := &supervisor{opts: Options{Command: "skein", Assistant: "/a b.yaml", Watch: true, Model: "http://h/v1", GeoFile: "/g"}, home: &home{dir: "/d"}}
	if got, want := s.again(), "skein dev --dir /d --assistant '/a b.yaml' --model http://h/v1 --geo /g --watch"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// Each edit is told once, however many nodes there are, with the line of a mistake.
func TestEditsAreTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("good")
	s := &supervisor{edits: make(chan string), opts: Options{Assistant: file, Watch: true, CheckAssistant: func() error {
		if data, err := os.ReadFile(file); err != nil || strings.HasPrefix(string(data), "good") {
			return err
		}
		return errors.New("a.yaml:1:1: bad")
	}}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	from := fileStamp(file)
	go func() { defer close(ended); s.watchAssistant(ctx, from) }()
	write("worse")
	if got, want := <-s.edits, file+" is not reloaded, its last good edition stays in force:\n  a.yaml:1:1: bad"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	write("good again")
	if got, want := <-s.edits, file+" is reloaded, in force from the next turn on"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if got, want := <-s.edits, file+" is gone; its last good edition stays in force"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	cancel()
	<-ended
}

func TestFirstLines(t *testing.T) {
	if got, want := firstLines(errors.New("1\n2\n3\n4\n5\n6\n7"), "; "), "1; 2; 3; 4; 5; and 2 more"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
