import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.ExponentialBackoffRetry;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;
import org.apache.curator.x.discovery.ServiceProvider;
import org.apache.curator.x.discovery.ServiceType;
import org.apache.curator.x.discovery.UriSpec;

/**
 * Curator's x-discovery under remote control. One command per line of standard input, one line of
 * answer each; the end of the input ends the session.
 *
 * <pre>
 * java -cp "$ZK_JAVA_DRIVER:$ZK_CURATOR/*:$ZK_CURATOR_DISCOVERY/*" CuratorDiscovery 127.0.0.1:2181 SESSION_MS BASE
 *
 * register NAME ID PORT KIND DC WEIGHT   "registered JSON", as it stands in the node
 * update ID PORT                         "updated JSON"
 * unregister ID                          "unregistered"
 * read NAME                              "instances ID@URI:DC:WEIGHT:KIND:ENABLED|…", by id
 * names                                  "names NAME|…"
 * pick NAME                              "picked ID" or "picked" for none
 * </pre>
 */
public final class CuratorDiscovery {
    private static final int CONNECTION_MS = 10_000;
    private static final String URI = "{scheme}://{address}:{port}";

    /** What an instance says of itself. */
    public static final class Meta {
        public String dc;
        public int weight;
    }

    private final CuratorFramework client;
    private final String base;
    private final ServiceDiscovery<Meta> discovery;
    private final Map<String, ServiceInstance<Meta>> registered = new HashMap<>();
    private final Map<String, ServiceProvider<Meta>> providers = new HashMap<>();

    private CuratorDiscovery(String connect, int sessionMs, String base) throws Exception {
        this.base = base;
        client = CuratorFrameworkFactory.newClient(
                connect, sessionMs, CONNECTION_MS, new ExponentialBackoffRetry(50, 10));
        client.start();
        client.blockUntilConnected();
        discovery = ServiceDiscoveryBuilder.builder(Meta.class)
                .client(client).basePath(base).build();
        discovery.start();
    }

    public static void main(String[] arguments) throws Exception {
        CuratorDiscovery driver = new CuratorDiscovery(
                arguments[0], Integer.parseInt(arguments[1]), arguments[2]);
        BufferedReader commands =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            say(driver.obey(line.split(" ", -1)));
        }
        driver.discovery.close();
        driver.client.close();
    }

    private String obey(String[] command) throws Exception {
        switch (command[0]) {
            case "register":
                return "registered " + register(command);
            case "update":
                return "updated " + update(command[1], Integer.parseInt(command[2]));
            case "unregister":
                discovery.unregisterService(registered.remove(command[1]));
                return "unregistered";
            case "read":
                return "instances " + shown(discovery.queryForInstances(command[1]));
            case "names":
                return "names " + discovery.queryForNames().stream().sorted()
                        .collect(Collectors.joining("|"));
            case "pick":
                return "picked " + pick(command[1]);
            default:
                throw new IllegalArgumentException(command[0]);
        }
    }

    private String register(String[] command) throws Exception {
        Meta meta = new Meta();
        meta.dc = command[5];
        meta.weight = Integer.parseInt(command[6]);
        ServiceInstance<Meta> instance = ServiceInstance.<Meta>builder()
                .name(command[1]).id(command[2]).address("10.0.0.1")
                .port(Integer.parseInt(command[3])).payload(meta)
                .serviceType(ServiceType.valueOf(command[4]))
                .uriSpec(new UriSpec(URI)).build();
        discovery.registerService(instance);
        registered.put(instance.getId(), instance);
        return stored(instance);
    }

    private String update(String id, int port) throws Exception {
        ServiceInstance<Meta> before = registered.get(id);
        ServiceInstance<Meta> after = ServiceInstance.<Meta>builder()
                .name(before.getName()).id(id).address(before.getAddress()).port(port)
                .payload(before.getPayload()).serviceType(before.getServiceType())
                .uriSpec(before.getUriSpec()).build();
        discovery.updateService(after);
        registered.put(id, after);
        return stored(after);
    }

    private String stored(ServiceInstance<Meta> instance) throws Exception {
        String path = base + "/" + instance.getName() + "/" + instance.getId();
        return new String(client.getData().forPath(path), StandardCharsets.UTF_8);
    }

    private static String shown(Collection<ServiceInstance<Meta>> instances) {
        return instances.stream().sorted(Comparator.comparing(ServiceInstance::getId))
                .map(CuratorDiscovery::shown).collect(Collectors.joining("|"));
    }

    private static String shown(ServiceInstance<Meta> one) {
        Meta meta = one.getPayload();
        return one.getId() + "@" + one.buildUriSpec()
                + ":" + (meta == null ? "-" : meta.dc + ":" + meta.weight)
                + ":" + one.getServiceType() + ":" + one.isEnabled();
    }

    private String pick(String name) throws Exception {
        ServiceProvider<Meta> provider = providers.get(name);
        if (provider == null) {
            provider = discovery.serviceProviderBuilder().serviceName(name).build();
            provider.start();
            providers.put(name, provider);
        }
        ServiceInstance<Meta> picked = provider.getInstance();
        return picked == null ? "" : picked.getId();
    }

    private static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}
