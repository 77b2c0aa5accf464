#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace kekd {
namespace {

std::atomic<LogLevel> g_level{LogLevel::kInfo};
std::atomic<LogFormat> g_format{LogFormat::kText};

// spdlog serialises the writers and writes each line at once; the line itself is ours.
spdlog::logger& Logger() {
  static auto* const logger = [] {
    auto* made = new spdlog::logger("kekd", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    made->set_level(spdlog::level::trace);
    made->flush_on(spdlog::level::trace);
    return made;
  }();
  return *logger;
}

absl::string_view NameOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "?";
}

bool NeedsQuotes(absl::string_view value) {
  if (value.empty()) return true;
  for (const char c : value) {
    if (c <= ' ' || c == '"' || c == '=' || c == '\\' || static_cast<unsigned char>(c) >= 0x7f) {
      return true;
    }
  }
  return false;
}

std::string TextLine(absl::string_view time, LogLevel level, absl::string_view event,
                     std::initializer_list<LogField> fields) {
  std::string line = absl::StrCat(time, " ", NameOf(level), " ", event);
  for (const LogField& field : fields) {
    absl::StrAppend(&line, " ", field.name, "=");
    if (NeedsQuotes(field.value)) {
      // ASCII only: U+0080 to U+009F steer a terminal too, and are valid UTF-8.
      const std::string escaped = absl::CHexEscape(field.value);
      absl::StrAppend(&line, "\"", absl::StrReplaceAll(escaped, {{"\\'", "'"}}), "\"");
    } else {
      line.append(field.value);
    }
  }
  return line;
}

std::string JsonLine(absl::string_view time, LogLevel level, absl::string_view event,
                     std::initializer_list<LogField> fields) {
  nlohmann::ordered_json object;
  object["time"] = std::string(time);
  object["level"] = std::string(NameOf(level));
  object["event"] = std::string(event);
  for (const LogField& field : fields) object[std::string(field.name)] = field.value;
  // ASCII only, as the text format. "replace": a peer's invalid UTF-8 must not make the log throw.
  return object.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

}  // namespace

void ConfigureLog(LogLevel level, LogFormat format) {
  g_level = level;
  g_format = format;
}

bool LogEnabled(LogLevel level) { return level >= g_level.load(std::memory_order_relaxed); }

void Log(LogLevel level, absl::string_view event, std::initializer_list<LogField> fields) {
  if (!LogEnabled(level)) return;
  const std::string time =
      absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone());
  Logger().info(g_format.load(std::memory_order_relaxed) == LogFormat::kJson
                    ? JsonLine(time, level, event, fields)
                    : TextLine(time, level, event, fields));
}

}  // namespace kekd
