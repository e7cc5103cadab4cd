package nlu

import (
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/skein-mesh/skein/assistant/intent"
	"github.com/skein-mesh/skein/assistant/text"
)

func tokens(s string) []text.Token { return text.Read(s, 0).Tokens }

// intents trains a model and says how long that took and what it needs.
func intents(train []labelled, outside []labelled) (*intent.Model, string, error) {
	set := intent.Set{Workers: runtime.GOMAXPROCS(0)}
	index := map[string]int{}
	for _, l := range train {
		if _, ok := index[l.label]; !ok {
			index[l.label] = len(set.Classes)
			set.Classes = append(set.Classes, l.label)
		}
		set.Examples = append(set.Examples, intent.Example{Class: index[l.label], Tokens: tokens(l.text)})
	}
	for _, l := range outside {
		set.Outside = append(set.Outside, tokens(l.text))
	}
	before := heap()
	start, used := time.Now(), cpu()
	m, err := intent.Train(set)
	if err != nil {
		return nil, "", err
	}
	note := fmt.Sprintf("trained in %.1f s on %d cores (%.1f s of CPU)", time.Since(start).Seconds(), set.Workers, (cpu() - used).Seconds())
	note += fmt.Sprintf(", heap %.1f MB", float64(heap()-before)/1e6)
	runtime.KeepAlive(m)
	runtime.KeepAlive(&set) // or its tokens would be taken off what the model keeps
	return m, note, nil
}

// heap gives the bytes in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// cpu is the processor time of this process so far: on a machine that does other things too it says more than a clock.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// understood is a message with its guess.
type understood struct {
	labelled
	intent.Guess
}

func understand(m *intent.Model, rows []labelled) (all []understood, each timings) {
	for _, l := range rows {
		start := time.Now()
		g := m.Understand(tokens(l.text))
		each = append(each, time.Since(start))
		all = append(all, understood{l, g})
	}
	return all, each
}

func (u understood) right() bool { return u.Class == u.label }

// accuracy is the share of messages whose class is right and that are not turned away.
func accuracy(all []understood, threshold float64) float64 {
	n := 0
	for _, u := range all {
		if u.right() && u.Outside < threshold {
			n++
		}
	}
	return float64(n) / float64(max(len(all), 1))
}

// refused is the share of messages that are turned away.
func refused(all []understood, threshold float64) float64 {
	n := 0
	for _, u := range all {
		if u.Outside >= threshold {
			n++
		}
	}
	return float64(n) / float64(max(len(all), 1))
}

// most that turning away may cost of the accuracy in scope when its threshold is chosen.
const mostLost = 0.01

// threshold gives the lowest value of Outside from which on messages are turned away without losing more than
// mostLost of the accuracy.
func threshold(in, out []understood) float64 {
	best := accuracy(in, 2)
	var tries []float64
	for _, u := range slices.Concat(in, out) {
		tries = append(tries, u.Outside)
	}
	slices.Sort(tries)
	i, _ := slices.BinarySearchFunc(tries, 0, func(t float64, _ int) int {
		if accuracy(in, t) < best-mostLost {
			return -1
		}
		return 1
	})
	if i == len(tries) {
		return 2
	}
	return tries[i]
}

// calibration is the expected calibration error over ten bins (Guo et al. 2017, section 2).
func calibration(all []understood) float64 {
	var sum, right, count [10]float64
	for _, u := range all {
		b := min(int(u.Confidence*10), 9)
		sum[b] += u.Confidence
		count[b]++
		if u.right() {
			right[b]++
		}
	}
	var e float64
	for b := range sum {
		e += max(sum[b]-right[b], right[b]-sum[b])
	}
	return e / float64(max(len(all), 1))
}
