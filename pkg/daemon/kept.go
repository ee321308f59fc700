package daemon

import "reflect"

// A kept part of an authenticator lives on over reloads for as long as what it was
// made of stays the same.
type kept struct {
	of   any // comparable by reflect.DeepEqual
	part closer
}

type closer interface{ Close() }

// keep returns the part that was made of the same before, or makes it.
func keep[T closer](r *rights, of any, make func() (T, error)) (T, error) {
	for _, k := range r.before {
		if reflect.DeepEqual(k.of, of) {
			r.kept = append(r.kept, k)
			return k.part.(T), nil
		}
	}
	part, err := make()
	if err == nil {
		r.kept = append(r.kept, kept{of, part})
	}
	return part, err
}

// former returns a part of before whose making is like what a new one is made of; the
// zero value if there is none.
func former[T closer, K any](r *rights, like func(of K) bool) (part T) {
	for _, k := range r.before {
		if of, ok := k.of.(K); ok && like(of) {
			return k.part.(T)
		}
	}
	return part
}

// closeKept closes those of before that are not among now.
func closeKept(before, now []kept) {
	for _, k := range before {
		if !contains(now, k) {
			k.part.Close()
		}
	}
}

func contains(list []kept, k kept) bool {
	for _, other := range list {
		if other.part == k.part {
			return true
		}
	}
	return false
}
