package reactor

// A Memory is where those whose connections live on a loop make what they send. It is
// owned by that loop; the zero value is ready.
type Memory struct {
	arena []byte // only ever appended to
	spare [][][]byte
}

// arenaSize is how large a piece of memory is from which small frames are cut.
const arenaSize = 32 << 10

// spares and spareRoom are how many slices are kept at most, and how large they may be.
const (
	spares    = 1024
	spareRoom = 64
)

// Cut returns what build appends, cut from a larger piece. It may be kept.
func (m *Memory) Cut(build func(dst []byte) []byte) []byte {
	if cap(m.arena)-len(m.arena) < arenaSize/8 {
		m.arena = make([]byte, 0, arenaSize)
	}
	start := len(m.arena)
	m.arena = build(m.arena)
	return m.arena[start:len(m.arena):len(m.arena)]
}

// Take returns an empty slice for what a connection is to send.
func (m *Memory) Take() [][]byte {
	n := len(m.spare)
	if n == 0 {
		return make([][]byte, 0, 4)
	}
	s := m.spare[n-1]
	m.spare = m.spare[:n-1]
	return s
}

// Give takes a slice back that Take has returned.
func (m *Memory) Give(s [][]byte) {
	clear(s)
	if len(m.spare) < spares && cap(s) <= spareRoom {
		m.spare = append(m.spare, s[:0])
	}
}
