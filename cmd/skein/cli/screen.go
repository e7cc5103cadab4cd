package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Controls of a terminal (ECMA-48; the alternate screen and the cursor are private modes of DEC and xterm).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // the alternate screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearLine   = "\x1b[K" // from the cursor to the end of the line
	clearBelow  = "\x1b[J"
)

// screen shows pages one over the other where w is a terminal, else one behind the other.
type screen struct {
	w    io.Writer
	term *os.File // nil: no terminal
}

// openScreen takes the terminal over, unless only one page is to be shown; close gives it back as it was.
func openScreen(w io.Writer, once bool) *screen {
	s := &screen{w: w}
	if !once && isTerminal(w) {
		s.term = w.(*os.File)
		io.WriteString(w, enterScreen)
	}
	return s
}

func (s *screen) close() {
	if s.term != nil {
		io.WriteString(s.w, leaveScreen)
	}
}

func (s *screen) show(page string) error {
	if s.term != nil {
		width, height, err := term.GetSize(int(s.term.Fd()))
		if err != nil || width < 1 || height < 2 {
			width, height = 80, 24
		}
		page = frame(page, width, height)
	}
	_, err := io.WriteString(s.w, page)
	return err
}

// frame cuts a page to what a terminal holds, since a line that wraps or a page that scrolls would move all others. It
// overwrites instead of clearing first, which would flicker.
func frame(page string, width, height int) string {
	lines := strings.Split(strings.TrimRight(page, "\n"), "\n")
	if more := len(lines) - (height - 1); more > 0 {
		lines = append(lines[:height-2], fmt.Sprintf("... %d more lines; make the window higher", more+1))
	}
	var b strings.Builder
	b.WriteString(home)
	for _, line := range lines {
		if r := []rune(line); len(r) > width {
			line = string(r[:width])
		}
		b.WriteString(line + clearLine + "\r\n")
	}
	b.WriteString(clearBelow)
	return b.String()
}
