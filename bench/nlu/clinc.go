package nlu

import "fmt"

// half is the value of Outside from which on an assistant takes a message for outside, unless it says otherwise.
const half = 0.5

func (r *run) clinc() error {
	data, err := readClinc(r.Data)
	if err != nil {
		return err
	}
	m, note, err := intents(data["train"], data["oos_train"])
	if err != nil {
		return err
	}
	in, _ := understand(m, data["val"])
	out, _ := understand(m, data["oos_val"])
	limit := threshold(in, out)
	if !r.Dev {
		var each timings
		in, each = understand(m, data["test"])
		out, _ = understand(m, data["oos_test"])
		note += ", " + each.String()
	}
	const name = "CLINC150"
	r.add(name, "accuracy in scope", 0.925, accuracy(in, 2), note)
	r.add(name, "the same with rejection", 0.915, accuracy(in, limit), fmt.Sprintf("turned away from %.3f on", limit))
	r.add(name, "out-of-scope recall", 0.75, refused(out, limit), "")
	r.add(name, "accuracy, default threshold", 0, accuracy(in, half), "")
	r.add(name, "recall, default threshold", 0, refused(out, half), "")
	r.add(name, "calibration error", 0, calibration(in), "expected, ten bins")
	bare, _, err := intents(data["train"], nil)
	if err != nil {
		return err
	}
	in, _ = understand(bare, texts(in))
	out, _ = understand(bare, texts(out))
	r.add(name, "accuracy, no example outside", 0, accuracy(in, half), "default threshold")
	r.add(name, "recall, no example outside", 0, refused(out, half), "default threshold")
	return nil
}

func texts(all []understood) []labelled {
	out := make([]labelled, len(all))
	for i, u := range all {
		out[i] = u.labelled
	}
	return out
}
