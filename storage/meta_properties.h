#ifndef GREGOR_STORAGE_META_PROPERTIES_H_
#define GREGOR_STORAGE_META_PROPERTIES_H_

#include <map>
#include <string>
#include <string_view>

namespace gregor {

// The text of meta.properties, which says whose a folder is (docs/formats.md): `name=value` lines,
// and behind them a checksum, as a wrong bit in an id would name another folder. Thread: any.

// Lines that begin with # and what is no `name=value` are passed over.
std::map<std::string, std::string, std::less<>> ParseProperties(std::string_view text);

std::string WithPropertiesChecksum(std::string lines);

// Whether the text is as it was written. One without a checksum is: the first folders have none.
bool IsSoundProperties(std::string_view text);

}  // namespace gregor

#endif  // GREGOR_STORAGE_META_PROPERTIES_H_
