import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/** A client in Java, with the JDK alone: it counts an expression and reads a stream. java Client.java URL INDEX EXPRESSION */
public class Client {
    private final HttpClient client = HttpClient.newHttpClient();
    private final String base;

    Client(String url, String index) {
        base = url + "/v1/indexes/" + index + "/";
    }

    private <T> HttpResponse<T> call(String name, String body, String accept, HttpResponse.BodyHandler<T> handler)
            throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(base + name))
                .header("Content-Type", "application/json")
                .header("Accept", accept)
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build();
        return client.send(request, handler);
    }

    private static String find(String pattern, String text) {
        Matcher matcher = Pattern.compile(pattern).matcher(text);
        return matcher.find() ? matcher.group(1) : null;
    }

    public static void main(String[] words) throws Exception {
        Client service = new Client(words[0], words[1]);
        String expr = "\"expr\": \"" + words[2] + "\"";
        String answer = service.call(
                "count", "{" + expr + "}", "application/json", HttpResponse.BodyHandlers.ofString()).body();
        String devices = service.call(
                        "resolve", "{" + expr + ", \"columns\": [\"device_id\"]}", "application/x-ndjson",
                        HttpResponse.BodyHandlers.ofLines())
                .body().collect(Collectors.joining(", "));
        HttpResponse<String> refused =
                service.call("count", "{\"expr\": \"(\"}", "application/json", HttpResponse.BodyHandlers.ofString());
        System.out.printf(
                "{\"count\": %s, \"snapshot\": %s, \"lines\": [%s], \"refused\": \"%d %s\"}%n",
                find("\"count\": ?(\\d+)", answer), find("\"snapshot\": ?(\\d+)", answer), devices,
                refused.statusCode(), find("\"code\": ?\"([a-z-]+)\"", refused.body()));
    }
}
