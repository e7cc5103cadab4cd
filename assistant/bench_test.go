package assistant

import (
	"testing"

	"github.com/skein-mesh/skein"
)

func BenchmarkAnswer(b *testing.B) {
	a := mustShop(b)
	texts := []string{"could you tell me where my parcel SO10021 is", "现在到哪了？", "what do you charge for postage", "那款鞋还有39码吗？", "how tall is the eiffel tower"}
	in := Input{Session: "eu~bench"}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		in.Text, in.Turn = texts[i%len(texts)], skein.TurnID{Client: "c", Counter: uint64(i + 1)}
		got, err := a.Answer(b.Context(), in, alone{})
		if err != nil {
			b.Fatal(err)
		}
		in.Memory = got.Memory
	}
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		mustShop(b)
	}
}
