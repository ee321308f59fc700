package load

import (
	"net/netip"
	"testing"
)

// TestVerdict feeds a subscriber what each fault looks like.
func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		name                    string
		given                   []uint64
		lost, repeated, swapped int64
	}{
		{"whole", []uint64{1, 2, 3, 4}, 0, 0, 0},
		{"one lost", []uint64{1, 2, 4}, 1, 0, 0},
		{"the last one lost", []uint64{1, 2, 3}, 1, 0, 0},
		{"nothing", nil, 4, 0, 0},
		{"one twice", []uint64{1, 2, 2, 3, 4}, 0, 1, 0},
		{"two swapped", []uint64{1, 3, 2, 4}, 0, 0, 1},
		{"swapped and twice", []uint64{1, 3, 2, 2, 4}, 0, 1, 1},
	} {
		f := NewFleet(nil, Bare{}, netip.AddrPort{})
		c := &Client{fleet: f, next: 1, open: true, joined: true, name: "/a"}
		for _, n := range test.given {
			payload := appendPayload(nil, n, 200)
			frame := append([]byte{0x81, 126, 0, 200}, payload...)
			if used := c.Data(nil, frame[:100]); used != 0 {
				t.Errorf("%s: %d bytes of an incomplete frame were used", test.name, used)
			}
			if used := c.Data(nil, frame); used != len(frame) {
				t.Errorf("%s: %d of %d bytes were used", test.name, used, len(frame))
			}
		}
		f.Missing([]*Client{c}, 4)
		if f.Lost != test.lost || f.Repeated != test.repeated || f.Swapped != test.swapped {
			t.Errorf("%s: lost %d, repeated %d, reordered %d; want %d, %d, %d", test.name, f.Lost, f.Repeated, f.Swapped, test.lost, test.repeated, test.swapped)
		}
	}
}

// TestOrbit: what the server of PROTOCOL.md says is understood.
func TestOrbit(t *testing.T) {
	var d Orbit
	if n, ok := d.Delivered([]byte(`{"ch":"/bench/0","o":7,"p":6,"t":1790000000123,"d":"000000000000002a..."}`)); n != 42 || !ok {
		t.Errorf("delivered %d, %t", n, ok)
	}
	if _, ok := d.Delivered([]byte(`{"ch":"/bench/0","at":7}`)); ok {
		t.Error("the end of a replay counts as a message")
	}
	if !d.Accepted([]byte(`{"re":3,"offset":7,"epoch":"9f86d081884c7d65"}`)) || d.Accepted([]byte(`{"re":3,"error":{"code":"internal","message":""}}`)) {
		t.Error("an answer to a publish is not understood")
	}
	if p := positionOf([]byte(`{"re":1,"offset":1240,"epoch":"9f86d081884c7d65"}`)); p != (Start{1240, "9f86d081884c7d65"}) {
		t.Errorf("position %v", p)
	}
	if d.Joined([]byte(`{"re":1,"error":{"code":"forbidden","message":""}}`)) {
		t.Error("a refusal counts as joined")
	}
}
