-- One step of a rate limit. The same rules as in store/rate.rs, by the server's clock.
--
-- KEYS[1]: the limit. ARGV: microseconds from one to the next, how many may come at once, how many
-- come now. Answers 1 if they are let through, else 0; and how many microseconds from now the limit
-- is as if nothing had come.
local interval, burst, cells = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
-- Microseconds since 1970 are whole in a double for two hundred years to come.
local now = time[1] * 1000000 + time[2]
local capacity = interval * burst

local raw = redis.pcall('GET', KEYS[1])
-- If this user may not look, nothing can be said.
if type(raw) == 'table' and not string.find(raw.err, 'WRONGTYPE', 1, true) then return raw end
-- Another type of value, or text that is no number: nothing of ours.
local due = type(raw) == 'string' and tonumber(raw) or now
local told = due - now
if not (told > 0) then told = 0 end

local ahead, allowed = math.min(told, capacity), 0
if ahead + interval * cells <= capacity then
  ahead, allowed = ahead + interval * cells, 1
end
if ahead ~= told then
  if ahead > 0 then
    local life = math.ceil(ahead / 1000)
    redis.call('SET', KEYS[1], string.format('%.0f', now + ahead), 'PX', string.format('%.0f', life))
  else
    redis.call('DEL', KEYS[1])
  end
end
return { allowed, ahead }
