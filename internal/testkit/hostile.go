package testkit

import (
	"fmt"
	"reflect"
)

// FillStrings sets every text of an object, in structs, slices, maps and behind
// pointers, to what text returns for its path, such as "Status.Conditions[0].Reason".
// Slices and maps that are empty get one element, nil pointers a value. It is for
// tests that show objects: whatever a field may hold, it must be harmless. Times
// and numbers stay as they are. It panics for anything but a pointer.
func FillStrings(object any, text func(path string) string) {
	fill(reflect.ValueOf(object).Elem(), "", text)
}

func fill(value reflect.Value, path string, text func(string) string) {
	switch value.Kind() {
	case reflect.String:
		value.SetString(text(path))
	case reflect.Pointer:
		if value.IsNil() {
			value.Set(reflect.New(value.Type().Elem()))
		}
		fill(value.Elem(), path, text)
	case reflect.Struct:
		for i := range value.NumField() {
			if field := value.Type().Field(i); field.IsExported() {
				fill(value.Field(i), joinPath(path, field.Name), text)
			}
		}
	case reflect.Slice:
		fillSlice(value, path, text)
	case reflect.Map:
		fillMap(value, path, text)
	default:
	}
}

func fillSlice(value reflect.Value, path string, text func(string) string) {
	if value.Type().Elem().Kind() == reflect.Uint8 {
		return
	}
	if value.Len() == 0 {
		value.Set(reflect.MakeSlice(value.Type(), 1, 1))
	}
	for i := range value.Len() {
		fill(value.Index(i), fmt.Sprintf("%s[%d]", path, i), text)
	}
}

func fillMap(value reflect.Value, path string, text func(string) string) {
	if value.Type().Key().Kind() != reflect.String {
		return
	}
	element := reflect.New(value.Type().Elem()).Elem()
	fill(element, path+"[]", text)
	filled := reflect.MakeMap(value.Type())
	filled.SetMapIndex(reflect.ValueOf(text(path+"[key]")).Convert(value.Type().Key()), element)
	value.Set(filled)
}

func joinPath(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
