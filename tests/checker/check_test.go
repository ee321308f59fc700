package checker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/tests/checker"
)

// good returns 100 messages on each of two channels, which two subscribers got.
func good() *checker.History {
	h := &checker.History{}
	for n := range int64(100) {
		for i, ch := range []string{"/t/a", "/t/b"} {
			offset := uint64(10*n) + uint64(i) + 5
			h.Accepted = append(h.Accepted, checker.Accepted{Channel: ch, N: n + 1, Offset: offset})
			for _, who := range []string{"one", "two"} {
				h.Deliveries = append(h.Deliveries, checker.Delivery{Who: who, Channel: ch, N: n + 1, Offset: offset})
			}
		}
	}
	return h
}

func verdict(t *testing.T, h *checker.History, want string) {
	t.Helper()
	v := checker.Check(h)
	if v.String() != want {
		t.Errorf("got  %s\nwant %s\n%s", v, want, strings.Join(v.Examples, "\n"))
	}
	clean := strings.Contains(want, "lost=0 repeated=0 reordered=0") && !strings.Contains(want, "phantom")
	if (v.Err() == nil) != clean {
		t.Errorf("%s: Err is %v", v, v.Err())
	}
}

func TestAGoodHistoryIsClean(t *testing.T) {
	verdict(t, good(), "accepted=200 delivered=400 lost=0 repeated=0 reordered=0")
}

func TestALossIsFound(t *testing.T) {
	h := good()
	h.Deliveries = slices.Delete(h.Deliveries, 123, 124)
	verdict(t, h, "accepted=200 delivered=399 lost=1 repeated=0 reordered=0")
}

func TestALossAtTheEndIsFound(t *testing.T) {
	h := good()
	h.Deliveries = h.Deliveries[:399]
	verdict(t, h, "accepted=200 delivered=399 lost=1 repeated=0 reordered=0")
}

func TestARepeatIsFound(t *testing.T) {
	h := good()
	h.Deliveries = slices.Insert(h.Deliveries, 201, h.Deliveries[100])
	verdict(t, h, "accepted=200 delivered=401 lost=0 repeated=1 reordered=0")
}

func TestASwapIsFound(t *testing.T) {
	h := good()
	d := h.Deliveries // four deliveries a number: the same reader's next is four on
	d[40], d[44] = d[44], d[40]
	verdict(t, h, "accepted=200 delivered=400 lost=0 repeated=0 reordered=1")
}

func TestAPhantomIsFound(t *testing.T) {
	h := good()
	h.Deliveries[50].Offset++ // not where its publisher was told
	verdict(t, h, "accepted=200 delivered=400 lost=0 repeated=0 reordered=0 phantom=1")
	h = good()
	h.Deliveries = append(h.Deliveries, checker.Delivery{Who: "one", Channel: "/t/a", N: 0, Offset: 2000})
	verdict(t, h, "accepted=200 delivered=401 lost=0 repeated=0 reordered=0 phantom=1")
	h = good()
	h.Deliveries = append(h.Deliveries, checker.Delivery{Who: "one", Channel: "/t/a", N: 101, Offset: 5})
	v := checker.Check(h)
	if v.Phantom == 0 || v.Err() == nil {
		t.Errorf("two messages at one offset: %s", v)
	}
}

func TestAPublishStoredTwiceIsFound(t *testing.T) {
	h := good()
	for _, who := range []string{"one", "two"} {
		h.Deliveries = append(h.Deliveries, checker.Delivery{Who: who, Channel: "/t/a", N: 100, Offset: 3000})
	}
	verdict(t, h, "accepted=200 delivered=402 lost=0 repeated=2 reordered=0 phantom=2")
}

func TestOvertakingIsFound(t *testing.T) {
	h := &checker.History{
		Accepted:   []checker.Accepted{{Channel: "/t/a", N: 2, Offset: 1}, {Channel: "/t/a", N: 1, Offset: 2}},
		Deliveries: []checker.Delivery{{Who: "one", Channel: "/t/a", N: 2, Offset: 1}, {Who: "one", Channel: "/t/a", N: 1, Offset: 2}},
	}
	verdict(t, h, "accepted=2 delivered=2 lost=0 repeated=0 reordered=1")
}

func TestAnUnansweredPublishIsComparedToo(t *testing.T) {
	h := good()
	h.Deliveries = append(h.Deliveries, checker.Delivery{Who: "one", Channel: "/t/a", N: 101, Offset: 2000})
	verdict(t, h, "accepted=200 delivered=401 lost=1 repeated=0 reordered=0")
	h.Deliveries = append(h.Deliveries, checker.Delivery{Who: "two", Channel: "/t/a", N: 101, Offset: 2000})
	verdict(t, h, "accepted=200 delivered=402 lost=0 repeated=0 reordered=0")
}

func TestWhatAGapToldOfIsNotLost(t *testing.T) {
	h := good()
	h.Deliveries = slices.DeleteFunc(h.Deliveries, func(d checker.Delivery) bool {
		return d.Who == "two" && d.Channel == "/t/b" && d.N <= 10
	})
	h.Gaps = []checker.Gap{{Who: "two", Channel: "/t/b", After: 0, To: 86}}
	verdict(t, h, "accepted=200 delivered=390 lost=1 repeated=0 reordered=0 gapped=9")
	h.Gaps[0].To = 96
	verdict(t, h, "accepted=200 delivered=390 lost=0 repeated=0 reordered=0 gapped=10")
}

func TestOneWhoGotNothingHasLostAll(t *testing.T) {
	h := good()
	h.Expected = []checker.Expectation{{Who: "one", Channel: "/t/a"}, {Who: "three", Channel: "/t/b", From: 96}}
	verdict(t, h, "accepted=200 delivered=400 lost=90 repeated=0 reordered=0")
}

func TestWhatProvesNothingIsAnError(t *testing.T) {
	if checker.Check(&checker.History{}).Err() == nil {
		t.Error("an empty history is clean")
	}
}

func TestHistoriesAreRead(t *testing.T) {
	var h checker.History
	err := h.Read(strings.NewReader(`{"accepted":true,"ch":"/t/a","n":1,"o":5,"new":"field"}
{"who":"w","ch":"/t/a","o":5,"n":1,"handler":true}

{"who":"w","ch":"/t/a","gap":{"after":5,"to":9}}
{"who":"w","expect":true,"ch":"/t/a","from":3}
`))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(h)
	want := "{[{/t/a  1 5}] [{w /t/a  1 5}] [{w /t/a 5 9}] [{w /t/a 3}]}"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, bad := range []string{"x", "{}", `{"ch":"/a"}`, `{"who":"w","ch":"/a"}`, `{"who":"w","ch":"/a","n":1}`, `{"accepted":true,"ch":"/a","n":1}`} {
		if err := h.Read(strings.NewReader(bad)); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}
