package histories

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// writeSoak writes the samples as a table, and draws them.
func writeSoak(dir string, all []sample) error {
	var table bytes.Buffer
	w := csv.NewWriter(&table)
	head := []string{"seconds", "node"}
	for _, x := range soakSeries {
		head = append(head, x.name)
	}
	w.Write(head) //nolint:errcheck // Flush keeps the error
	for _, s := range all {
		row := []string{strconv.FormatFloat(s.at.Seconds(), 'f', 1, 64), s.node}
		for _, v := range s.used {
			row = append(row, strconv.FormatFloat(v, 'f', 1, 64))
		}
		w.Write(row) //nolint:errcheck // Flush keeps the error
	}
	w.Flush()
	return cmp.Or(w.Error(), os.WriteFile(filepath.Join(dir, "soak.csv"), table.Bytes(), 0o644), os.WriteFile(filepath.Join(dir, "soak.svg"), drawSoak(all), 0o644))
}

// drawSoak draws one panel a series and one line a node.
func drawSoak(all []sample) []byte {
	const width, height, left = 720, 110, 60
	colours := []string{"#1b6ca8", "#c0392b", "#27823c"}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`, width+left+10, (height+30)*len(soakSeries))
	lines := map[string][]sample{}
	most, end := [4]float64{}, 1.0
	for _, s := range all {
		lines[s.node] = append(lines[s.node], s)
		end = max(end, s.at.Seconds())
		for i, v := range s.used {
			most[i] = max(most[i], v, 1)
		}
	}
	for i, x := range soakSeries {
		top := i * (height + 30)
		fmt.Fprintf(&b, `<text x="%d" y="%d">%s, 0 to %.0f, over %.0f s</text><rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="#999"/>`,
			left, top+14, x.name, most[i], end, left, top+20, width, height)
		n := 0
		for _, node := range slices.Sorted(maps.Keys(lines)) {
			fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" points="`, colours[n%len(colours)])
			for _, s := range lines[node] {
				fmt.Fprintf(&b, "%.1f,%.1f ", left+s.at.Seconds()/end*width, float64(top+20+height)-s.used[i]/most[i]*height)
			}
			b.WriteString(`"/>`)
			n++
		}
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}
