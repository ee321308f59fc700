package frame

import "strconv"

// AppendHeader appends one header line as the version writes it. What the version
// cannot write of a value is left out: in 1.0 a line break, in 1.1 a carriage return,
// which readers of lines would drop at the end. Where it cannot write the name, all of
// it is: another name would be a lie.
func AppendHeader[B ~string | ~[]byte](dst []byte, v Version, name, value B) []byte {
	if !writable(v, name) {
		return dst
	}
	dst = appendEscaped(dst, v, name)
	dst = append(dst, ':')
	dst = appendEscaped(dst, v, value)
	return append(dst, '\n')
}

// writable reports whether a reader of the version reads this name where it is
// written. Those of 1.0 trim spaces.
func writable[B ~string | ~[]byte](v Version, name B) bool {
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == 0, c == '\r' && v != V12, (c == '\n' || c == ':') && v == V10:
			return false
		}
	}
	n := len(name)
	return n > 0 && (v != V10 || name[0] != ' ' && name[n-1] != ' ')
}

func appendEscaped[B ~string | ~[]byte](dst []byte, v Version, text B) []byte {
	for i := 0; i < len(text); i++ {
		c := text[i]
		e := byte(0)
		switch c {
		case '\n':
			e = 'n'
		case '\r':
			e = 'r'
		case ':':
			e = 'c'
		case '\\':
			e = '\\'
		case 0: // would end the frame for readers of 1.0
			continue
		}
		switch {
		case e == 0:
			dst = append(dst, c)
		case v == V12, v == V11 && c != '\r':
			dst = append(dst, '\\', e)
		case c == '\\' || c == ':':
			dst = append(dst, c)
		}
	}
	return dst
}

// AppendLength appends the header content-length, the blank line, the body and the
// NUL.
func AppendLength(dst, body []byte) []byte {
	dst = append(dst, "content-length:"...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\n\n"...)
	dst = append(dst, body...)
	return append(dst, 0)
}

// Append appends a whole frame. headers are names and values in turn. A body is
// written with its length.
func Append(dst []byte, v Version, c Command, body []byte, headers ...string) []byte {
	dst = append(dst, c...)
	dst = append(dst, '\n')
	for i := 0; i+1 < len(headers); i += 2 {
		if c == Connected || c == Connect || c == Stomp {
			dst = append(append(append(append(dst, headers[i]...), ':'), headers[i+1]...), '\n')
			continue
		}
		dst = AppendHeader(dst, v, headers[i], headers[i+1])
	}
	if len(body) > 0 {
		return AppendLength(dst, body)
	}
	return append(dst, '\n', 0)
}
