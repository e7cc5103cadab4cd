package nlu

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/skein-mesh/skein/assistant/tagger"
	"github.com/skein-mesh/skein/assistant/text"
)

// labelled is a message and its class.
type labelled struct{ text, label string }

// clinc is CLINC150 (Larson et al., "An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction",
// EMNLP 2019).
type clinc map[string][]labelled

func readClinc(dir string) (clinc, error) {
	b, err := os.ReadFile(filepath.Join(dir, "clinc150", "data_full.json"))
	if err != nil {
		return nil, err
	}
	var splits map[string][][2]string
	if err := json.Unmarshal(b, &splits); err != nil {
		return nil, fmt.Errorf("clinc150: %w", err)
	}
	out := clinc{}
	for name, rows := range splits {
		for _, r := range rows {
			out[name] = append(out[name], labelled{r[0], r[1]})
		}
	}
	for _, name := range []string{"train", "val", "test", "oos_train", "oos_val", "oos_test"} {
		if len(out[name]) == 0 {
			return nil, fmt.Errorf("clinc150: the split %s is missing", name)
		}
	}
	return out, nil
}

// readSnips reads a file of SNIPS (Coucke et al., "Snips Voice Platform", 2018) in the split of Goo et al. 2018.
func readSnips(dir, split string) ([]tagger.Example, error) {
	b, err := os.ReadFile(filepath.Join(dir, "snips", split+".txt"))
	if err != nil {
		return nil, err
	}
	var out []tagger.Example
	var e tagger.Example
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		switch len(f) {
		case 0:
			if len(e.Tokens) > 0 {
				out = append(out, e)
			}
			e = tagger.Example{}
		case 1:
			e.Intent = f[0]
		default:
			e.Tokens = append(e.Tokens, text.Token{Text: strings.ToLower(f[0]), Kind: text.Word})
			e.Spans = extend(e.Spans, f[1], len(e.Tokens)-1)
		}
	}
	if len(e.Tokens) > 0 {
		out = append(out, e)
	}
	return out, lines.Err()
}

// extend reads one BIO tag as conlleval does: an I- that goes on with nothing begins a span.
func extend(spans []tagger.Span, tag string, at int) []tagger.Span {
	part, label, ok := strings.Cut(tag, "-")
	if !ok {
		return spans
	}
	if n := len(spans); part == "I" && n > 0 && spans[n-1].To == at && spans[n-1].Label == label {
		spans[n-1].To++
		return spans
	}
	return append(spans, tagger.Span{From: at, To: at + 1, Label: label})
}

func readTSV(dir, name string) ([]labelled, error) {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	var out []labelled
	for line := range strings.Lines(string(b)) {
		if t, label, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "\t"); ok {
			out = append(out, labelled{t, label})
		}
	}
	return out, nil
}

func readCSV(dir, name string) ([]labelled, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, fmt.Errorf("%s: %d rows: %w", name, len(rows), err)
	}
	var out []labelled
	for _, r := range rows[1:] {
		out = append(out, labelled{r[0], r[1]})
	}
	return out, nil
}

// asked is a question and the document that answers it.
type asked struct {
	text string
	doc  int
}

// stackFAQ is StackFAQ (Karan and Šnajder, "Paraphrase-focused learning to rank for domain-specific frequently asked
// questions retrieval", 2018).
type stackFAQ []struct {
	Question    string   `xml:"question"`
	Paraphrases []string `xml:"rephr"`
}

func readStackFAQ(dir string) (stackFAQ, error) {
	b, err := os.ReadFile(filepath.Join(dir, "stackfaq", "stackExchange-FAQ.xml"))
	if err != nil {
		return nil, err
	}
	var file struct {
		Pairs stackFAQ `xml:"qapair"`
	}
	if err := xml.Unmarshal(b, &file); err != nil {
		return nil, fmt.Errorf("stackfaq: %w", err)
	}
	for i := range file.Pairs {
		var kept []string
		for _, p := range file.Pairs[i].Paraphrases {
			if p = strings.TrimSpace(p); p != "" && p != "*" {
				kept = append(kept, p)
			}
		}
		file.Pairs[i].Paraphrases = kept
	}
	return file.Pairs, nil
}

// readXQuAD reads one language of XQuAD (Artetxe, Ruder and Yogatama, "On the Cross-lingual Transferability of
// Monolingual Representations", ACL 2020).
func readXQuAD(dir, lang string) (passages []string, questions []asked, err error) {
	b, err := os.ReadFile(filepath.Join(dir, "xquad", "xquad."+lang+".json"))
	if err != nil {
		return nil, nil, err
	}
	var file struct {
		Data []struct {
			Paragraphs []struct {
				Context string
				Qas     []struct{ Question string }
			}
		}
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, nil, fmt.Errorf("xquad %s: %w", lang, err)
	}
	for _, article := range file.Data {
		for _, p := range article.Paragraphs {
			for _, q := range p.Qas {
				questions = append(questions, asked{q.Question, len(passages)})
			}
			passages = append(passages, p.Context)
		}
	}
	return passages, questions, nil
}
