package linear

import (
	"cmp"
	"sync"
)

// Model holds the weights of every class, each in a byte of the class's own scale. It is read-only.
type Model struct {
	classes int
	weights []int8 // column by column
	scale   []float32
	bias    []float32
}

// Train finds the weights that tell each class from all others. labels[i] is the class of rows[i]; one that is not
// 0 to classes-1 belongs to none.
func Train(rows [][]Cell, labels []int32, columns, classes int, set Settings) *Model {
	set.Cost, set.Epochs = cmp.Or(set.Cost, 1), cmp.Or(set.Epochs, 12)
	set.Workers = max(1, min(set.Workers, classes))
	m := &Model{classes: classes, weights: make([]int8, columns*classes), scale: make([]float32, classes), bias: make([]float32, classes)}
	var wait sync.WaitGroup
	for worker := range set.Workers {
		wait.Go(func() {
			s := newSolver(rows, columns)
			for class := worker; class < classes; class += set.Workers {
				m.take(class, s.fit(labels, int32(class), set))
			}
		})
	}
	wait.Wait()
	return m
}

// take rounds the weights of a class to bytes.
func (m *Model) take(class int, w []float32) {
	n := len(w) - 1
	m.bias[class] = w[n]
	var most float32
	for _, v := range w[:n] {
		most = max(most, v, -v)
	}
	if most == 0 {
		return
	}
	m.scale[class] = most / 127
	for col, v := range w[:n] {
		q := v / m.scale[class]
		if q < 0 {
			q -= 0.5
		} else {
			q += 0.5
		}
		m.weights[col*m.classes+class] = int8(q)
	}
}

// Classes is the number of classes.
func (m *Model) Classes() int { return m.classes }

// Scores writes how far a message is on the side of each class: 1 and more inside, -1 and less outside. into has
// room for every class.
func (m *Model) Scores(x []Cell, into []float32) []float32 {
	into = into[:m.classes]
	clear(into)
	for _, c := range x {
		row := m.weights[int(c.Column)*m.classes:][:len(into)]
		for i, w := range row {
			into[i] += float32(c.Weight * float32(w))
		}
	}
	for i := range into {
		into[i] = float32(into[i]*m.scale[i]) + m.bias[i]
	}
	return into
}

// Size is the memory of the weights in bytes.
func (m *Model) Size() int { return len(m.weights) + 8*m.classes }
