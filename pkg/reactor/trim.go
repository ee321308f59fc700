package reactor

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// crypto/tls keeps two buffers for as long as its connection lives, each as large
// as it ever had to be: for the record that is being read, and for handshake
// messages. After the hello of a browser they are 3.6 of the 6.6 KB that a
// connection takes, and one large message makes the first 16 KB. Both are empty
// while a connection is idle, so they are given up here.
//
// That means to reach into a type of another package. It is done by name, with
// the type checked; where a future Go has other fields, nothing is given up.
var buffers = []uintptr{bufferIn("rawInput"), bufferIn("hand")}

// bufferIn returns the offset of a field of tls.Conn that is a bytes.Buffer; 0,
// which is that of another field, if there is none.
func bufferIn(name string) uintptr {
	f, ok := reflect.TypeFor[tls.Conn]().FieldByName(name)
	if !ok || f.Type != reflect.TypeFor[bytes.Buffer]() {
		return 0
	}
	return f.Offset
}

// trim gives up the buffers of t that are empty. Nobody else uses t meanwhile.
func trim(t *tls.Conn) {
	for _, offset := range buffers {
		if offset == 0 {
			continue
		}
		if b := (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(t), offset)); b.Len() == 0 && b.Cap() > 0 {
			*b = bytes.Buffer{}
		}
	}
}
